"""UMT5's encoder as transformers has it, and the names of its tensors in published files."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import nn

from flashdreams.io.build import build_module
from flashdreams.io.layout import Layout
from flashdreams_wan.text.config import POSITION_BUCKETS, WanTextEncoderConfig

if TYPE_CHECKING:
    from transformers import UMT5EncoderModel

POSITION_DISTANCE = 128
"""Tokens apart from which on all distances share a row."""

_ROWS = 4096
_ATTENTION = r"encoder.block.\1.layer.0.SelfAttention"
_MLP = r"encoder.block.\1.layer.1.DenseReluDense"

LAYOUTS = (
    Layout(
        name="official Wan (models_t5_umt5-xxl-enc-bf16.pth)",
        marker=r"^token_embedding\.",
        renames=(
            (r"^token_embedding\.", "shared."),
            (r"^norm\.", "encoder.final_layer_norm."),
            (r"^blocks\.(\d+)\.norm1\.", r"encoder.block.\1.layer.0.layer_norm."),
            (r"^blocks\.(\d+)\.attn\.", rf"{_ATTENTION}."),
            (r"^blocks\.(\d+)\.pos_embedding\.embedding\.", rf"{_ATTENTION}.relative_attention_bias."),
            (r"^blocks\.(\d+)\.norm2\.", r"encoder.block.\1.layer.1.layer_norm."),
            (r"^blocks\.(\d+)\.ffn\.gate\.0\.", rf"{_MLP}.wi_0."),
            (r"^blocks\.(\d+)\.ffn\.fc1\.", rf"{_MLP}.wi_1."),
            (r"^blocks\.(\d+)\.ffn\.fc2\.", rf"{_MLP}.wo."),
        ),
    ),
    Layout(
        name="transformers (UMT5EncoderModel, or the encoder half of a whole UMT5)",
        marker=r"^(shared|encoder\.embed_tokens)\.",
        only=r"^(shared|encoder)\.",
    ),
)
"""Names as Wan publishes them, and as transformers does."""


def load_umt5(config: WanTextEncoderConfig) -> nn.Module:
    """The encoder, filled with its weights where and as the placement says.

    Raises:
        WeightsError: The weights cannot be found, read, or do not fit.
    """
    return build_module(
        partial(build_umt5, config),
        config.weights,
        layouts=LAYOUTS,
        initialise=partial(fill_randomly, config=config),
    )


def build_umt5(config: WanTextEncoderConfig) -> UMT5EncoderModel:
    """The encoder of this architecture, as transformers has it."""
    from transformers import UMT5Config, UMT5EncoderModel

    return UMT5EncoderModel(
        UMT5Config(
            vocab_size=config.vocabulary,
            d_model=config.width,
            d_kv=config.head_width,
            d_ff=config.mlp_width,
            num_layers=config.layers,
            num_heads=config.heads,
            relative_attention_num_buckets=POSITION_BUCKETS,
            relative_attention_max_distance=POSITION_DISTANCE,
            feed_forward_proj="gated-gelu",
            dropout_rate=0.0,
        )
    )


def fill_randomly(module: nn.Module, config: WanTextEncoderConfig) -> None:
    """Weights from the config's seed, at scales that keep the width of what they are applied to.

    T5 does not scale its attention, but its queries' weights (arXiv 1910.10683).
    """
    generator = torch.Generator().manual_seed(config.weights_seed)
    for name, parameter in module.named_parameters():
        if parameter.dim() < 2:
            parameter.fill_(1.0)
            continue
        # Drawn in float32, so that a seed means the same weights in every dtype, and a part at a time,
        # since the whole token embedding would be as large as a third of the model.
        for rows in parameter.split(_ROWS):
            rows.copy_(torch.randn(rows.shape, generator=generator).mul_(_scale(name, rows, config)))


def _scale(name: str, parameter: torch.Tensor, config: WanTextEncoderConfig) -> float:
    if name.startswith("shared.") or "relative_attention_bias" in name:
        return 1.0
    shrink = config.head_width if name.endswith("SelfAttention.q.weight") else 1
    return float(parameter.shape[1] * shrink) ** -0.5
