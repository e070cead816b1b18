"""CLIP's vision tower, and the names of its tensors in published files."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn

from flashdreams.core.attention import attention
from flashdreams.errors import WeightsLayoutError
from flashdreams.io.build import build_module
from flashdreams.io.layout import Layout
from flashdreams_wan.image.config import WanImageEncoderConfig

_PARTS = r"cls_embedding$|pos_embedding$|patch_embedding\.|pre_norm\."


class VisionTower(nn.Module):
    """The blocks of a vision transformer (arXiv 2010.11929) with a norm before them and none after.

    Names and shapes of its tensors are those of Wan's file, where queries, keys and values are one matrix;
    with ``separate_projections`` they are three, and embeddings have the shapes that transformers gives them.
    """

    def __init__(self, config: WanImageEncoderConfig, *, separate_projections: bool = False) -> None:
        super().__init__()
        width, patch = config.width, config.patch
        leading = () if separate_projections else (1,)
        self.patch_embedding = nn.Conv2d(3, width, patch, stride=patch, bias=False)
        self.cls_embedding = nn.Parameter(torch.empty(*leading * 2, width))
        self.pos_embedding = nn.Parameter(torch.empty(*leading, config.tokens, width))
        self.pre_norm = nn.LayerNorm(width)
        self.transformer = nn.ModuleList(Block(config, separate_projections) for _ in range(config.layers))

    def forward(self, images: Tensor) -> Tensor:
        """Tokens ``[B, 1 + patches, width]`` of normalised images ``[B, 3, H, W]``, the class token first."""
        patches = self.patch_embedding(images).flatten(2).transpose(1, 2)
        tokens = torch.cat([self.cls_embedding.expand(len(images), 1, -1), patches], dim=1)
        tokens = self.pre_norm(tokens + self.pos_embedding)
        for block in self.transformer:
            tokens = block(tokens)
        return tokens


class Block(nn.Module):
    """Attention among all tokens, then an MLP, each on normalised tokens."""

    def __init__(self, config: WanImageEncoderConfig, separate_projections: bool) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(config.width)
        self.attn = SelfAttention(config.width, config.heads, separate_projections)
        self.norm2 = nn.LayerNorm(config.width)
        self.mlp = nn.Sequential(
            nn.Linear(config.width, config.mlp_width), nn.GELU(), nn.Linear(config.mlp_width, config.width)
        )

    def forward(self, tokens: Tensor) -> Tensor:
        """Tokens ``[B, L, width]`` to tokens."""
        tokens = tokens + self.attn(self.norm1(tokens))
        mixed: Tensor = tokens + self.mlp(self.norm2(tokens))
        return mixed


class SelfAttention(nn.Module):
    """Attention among tokens ``[B, L, width]``."""

    def __init__(self, width: int, heads: int, separate_projections: bool) -> None:
        super().__init__()
        self.heads = heads
        self.to_qkv = SeparateProjections(width) if separate_projections else nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, tokens: Tensor) -> Tensor:
        """What each token reads from the others."""
        q, k, v = self.to_qkv(tokens).unflatten(-1, (3, self.heads, -1)).unbind(2)
        read: Tensor = self.proj(attention(q, k, v).flatten(2))
        return read


class SeparateProjections(nn.Module):
    """Queries, keys and values from three matrices, ``[..., 3 * width]``."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.q_proj, self.k_proj, self.v_proj = (nn.Linear(width, width) for _ in range(3))

    def forward(self, tokens: Tensor) -> Tensor:
        """The three side by side, as one matrix would give them."""
        return torch.cat([self.q_proj(tokens), self.k_proj(tokens), self.v_proj(tokens)], dim=-1)


def official_layout(layers: int) -> Layout:
    """Names of Wan's file; its text tower, and the blocks after the last that is run, are left in it."""
    return Layout(
        name="official Wan (models_clip_open-clip-xlm-roberta-large-vit-huge-14.pth)",
        marker=r"^visual\.cls_embedding$",
        prefix="visual.",
        only=_used(layers),
    )


def transformers_layout(layers: int) -> Layout:
    """Names of transformers' CLIPVisionModel, alone or as ``vision_model`` of a whole CLIP."""
    return Layout(
        name="transformers (CLIPVisionModel)",
        marker=r"^(vision_model\.)?embeddings\.class_embedding$",
        renames=(
            (r"^vision_model\.", ""),
            (r"^embeddings\.class_embedding$", "cls_embedding"),
            (r"^embeddings\.position_embedding\.weight$", "pos_embedding"),
            (r"^embeddings\.patch_embedding\.", "patch_embedding."),
            (r"^pre_layrnorm\.", "pre_norm."),
            (r"^encoder\.layers\.", "transformer."),
            (r"\.layer_norm([12])\.", r".norm\1."),
            (r"\.self_attn\.out_proj\.", ".attn.proj."),
            (r"\.self_attn\.", ".attn.to_qkv."),
            (r"\.mlp\.fc1\.", ".mlp.0."),
            (r"\.mlp\.fc2\.", ".mlp.2."),
        ),
        only=_used(layers),
    )


def load_tower(config: WanImageEncoderConfig) -> nn.Module:
    """The tower, filled with its weights where and as the placement says.

    Raises:
        WeightsError: The weights cannot be found, read, or do not fit.
    """
    official, transformers = official_layout(config.layers), transformers_layout(config.layers)
    initialise = partial(fill_randomly, seed=config.weights_seed)
    build = partial(VisionTower, config)
    try:
        return build_module(build, config.weights, layouts=[official], initialise=initialise)
    except WeightsLayoutError:
        build = partial(VisionTower, config, separate_projections=True)
        return build_module(build, config.weights, layouts=[official, transformers], initialise=initialise)


def fill_randomly(tower: nn.Module, seed: int) -> None:
    """Weights from ``seed``, at scales that keep the width of what they are applied to."""
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in tower.named_parameters():
        if "norm" in name or name.endswith(".bias"):
            parameter.fill_(1.0 if name.endswith("weight") else 0.0)
        else:
            width = 1 if "embedding" in name.rpartition(".")[2] else parameter[0].numel()
            parameter.copy_(torch.randn(parameter.shape, generator=generator).mul_(width**-0.5))


def _used(layers: int) -> str:
    numbers = "|".join(str(layer) for layer in range(layers))
    return rf"^({_PARTS}|transformer\.({numbers})\.)"
