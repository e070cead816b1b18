"""The network of Wan 2.1 (Wan Team 2025): noisy latents, a timestep and a prompt, to the flow.

Names and shapes of its tensors are those of the published checkpoints. It keeps nothing between calls and
knows no cache: keys and values of the prompt are handed in, made once by :meth:`WanDiT.text_keys_values`,
and how the chunk attends to the past is a callable for each layer.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from flashdreams.core.patchify import grid_size, patchify, unpatchify
from flashdreams_wan.dit.blocks import Attend, Head, ImageProjections, KeysValues, WanBlock
from flashdreams_wan.dit.config import WanTransformerConfig
from flashdreams_wan.dit.precision import ExactLinear

PATCH = (1, 2, 2)
"""Latents of a token: latent frames, rows and columns."""


class WanDiT(nn.Module):
    """The transformer without any memory of its own."""

    def __init__(self, config: WanTransformerConfig) -> None:
        super().__init__()
        width = config.width
        self.frequency_width = config.frequency_width
        self.patch_embedding = nn.Conv3d(
            config.latent_channels + config.condition_channels, width, PATCH, PATCH
        )
        self.text_embedding = nn.Sequential(
            nn.Linear(config.text_width, width), nn.GELU("tanh"), nn.Linear(width, width)
        )
        self.time_embedding = nn.Sequential(
            ExactLinear(config.frequency_width, width), nn.SiLU(), ExactLinear(width, width)
        )
        self.time_projection = nn.Sequential(nn.SiLU(), ExactLinear(width, 6 * width))
        self.blocks = nn.ModuleList(
            WanBlock(
                width=width,
                mlp_width=config.mlp_width,
                heads=config.heads,
                eps=config.eps,
                looks_at_image=config.image_width > 0,
                backend=config.attention_backend,
            )
            for _ in range(config.layers)
        )
        self.head = Head(width, config.latent_channels * PATCH[1] * PATCH[2], config.eps)
        self.img_emb = ImageEmbedding(config.image_width, width) if config.image_width else None

    def forward(
        self,
        latents: Tensor,
        timestep: Tensor,
        text: KeysValues,
        image: KeysValues | None,
        attends: Sequence[Attend],
    ) -> Tensor:
        """Predict the flow.

        Args:
            latents: Noisy latents, with the condition's channels behind their own, ``[B, C, T, H, W]``.
            timestep: Noise level in [0, 1000], ``[1]``.
            text: Keys and values of the prompt in all layers, ``[layers, B, L, heads, head_dim]`` each.
            image: Keys and values of the image, like ``text``; None where the model looks at none.
            attends: Attention over past and present, layer by layer.

        Returns:
            Flow, ``[B, latent_channels, T, H, W]``.
        """
        grid = grid_size((latents.shape[2], latents.shape[3], latents.shape[4]), PATCH)
        weight = self.patch_embedding.weight
        tokens = F.linear(patchify(latents, PATCH), weight.flatten(1), self.patch_embedding.bias)
        frequencies = timestep_frequencies(timestep, self.frequency_width)
        time = self.time_embedding(frequencies.to(self.head.modulation.dtype))
        told, texts = self._told(time), _by_layer(text)
        images = [None] * len(texts) if image is None else _by_layer(image)
        for block, vectors, words, seen, attend in zip(
            self.blocks, told, texts, images, attends, strict=True
        ):
            tokens = block(tokens, vectors, words, seen, attend)
        return unpatchify(self.head(tokens, time), grid, PATCH, "channels_last")

    def _told(self, time: Tensor) -> list[Sequence[Tensor]]:
        """What the timestep says to each block: six vectors, the block's own offset added."""
        offsets = torch.cat([cast(WanBlock, block).modulation for block in self.blocks])
        told = offsets + self.time_projection(time).view(6, -1)
        told[:, 1::3] += 1  # from a scale to a gain
        vectors = told.flatten(0, 1).unbind(0)
        return [vectors[first : first + 6] for first in range(0, len(vectors), 6)]

    def text_keys_values(self, text: Tensor) -> Iterator[KeysValues]:
        """Layer by layer, what the blocks read in a prompt's embeddings ``[B, L, text_width]``."""
        tokens = self.text_embedding(text)
        for block in self.blocks:
            yield cast(WanBlock, block).cross_attn.keys_values(tokens)

    def image_keys_values(self, image: Tensor) -> Iterator[KeysValues]:
        """Layer by layer, what the blocks read in an image's embeddings ``[B, L, image_width]``."""
        if self.img_emb is not None:
            tokens = self.img_emb(image)
            for block in self.blocks:
                yield cast(ImageProjections, block.cross_attn).image_keys_values(tokens)


class ImageEmbedding(nn.Module):
    """Embeddings of CLIP's vision tower to tokens that the blocks read."""

    def __init__(self, image_width: int, width: int) -> None:
        super().__init__()
        self.proj = nn.Sequential(
            nn.LayerNorm(image_width),
            nn.Linear(image_width, image_width),
            nn.GELU(),
            nn.Linear(image_width, width),
            nn.LayerNorm(width),
        )

    def forward(self, image: Tensor) -> Tensor:
        """``[B, L, image_width]`` to ``[B, L, width]``."""
        return self.proj(image)


def timestep_frequencies(timestep: Tensor, width: int) -> Tensor:
    """Cosines, then sines, of a timestep at ``width / 2`` rates from 1 down to 1 / 10000.

    Angles are made in float64, as Wan's published code makes them: in float32 an angle of 1000 is known to
    6e-5 only.

    Args:
        timestep: ``[1]``.
        width: How many; even.

    Returns:
        Float64 ``[1, width]`` (float32 where the device has nothing longer).
    """
    longest = torch.float32 if timestep.device.type == "mps" else torch.float64
    half = width // 2
    exponents = torch.arange(half, device=timestep.device, dtype=longest) / -half
    angles = timestep.to(longest).unsqueeze(-1) * 10000.0**exponents
    return torch.cat([angles.cos(), angles.sin()], dim=-1)


def _by_layer(stacked: KeysValues) -> list[KeysValues]:
    """Keys and values of all layers, layer by layer."""
    keys, values = stacked
    return list(zip(keys.unbind(0), values.unbind(0), strict=True))
