"""Frames to latents and back: a small residual convolutional autoencoder, 64x64x3 to 8x8x8.

No norm layers and no attention: a frame decodes in about 3 ms on one CPU core. Latents are
standardised, every channel with mean 0 and standard deviation 1 over the training data;
the statistics are buffers of the encoder, and the decoder was trained behind them.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

LATENT_CHANNELS = 8
LATENT_SIZE = 8  # height and width of a latent frame
WIDTHS = (48, 64, 96)  # at 32x32, 16x16 and 8x8
BLOCKS = (1, 2, 2)


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions beside the identity."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, padding=1)
        self.second = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """`[N, width, h, w]` to the same shape."""
        return x + self.second(F.silu(self.first(F.silu(x))))


def _blocks(stage: int) -> list[nn.Module]:
    return [ResidualBlock(WIDTHS[stage]) for _ in range(BLOCKS[stage])]


class FrameEncoder(nn.Module):
    """Pixels `[N, 3, 64, 64]` in [-1, 1] to standardised latents `[N, 8, 8, 8]`."""

    mean: Tensor
    std: Tensor

    def __init__(self) -> None:
        super().__init__()
        fine, middle, coarse = WIDTHS
        self.layers = nn.Sequential(
            nn.PixelUnshuffle(2),
            nn.Conv2d(12, fine, 3, padding=1),
            *_blocks(0),
            nn.PixelUnshuffle(2),
            nn.Conv2d(4 * fine, middle, 3, padding=1),
            *_blocks(1),
            nn.PixelUnshuffle(2),
            nn.Conv2d(4 * middle, coarse, 3, padding=1),
            *_blocks(2),
            nn.SiLU(),
            nn.Conv2d(coarse, LATENT_CHANNELS, 3, padding=1),
        )
        self.register_buffer("mean", torch.zeros(1, LATENT_CHANNELS, 1, 1))
        self.register_buffer("std", torch.ones(1, LATENT_CHANNELS, 1, 1))

    def raw(self, pixels: Tensor) -> Tensor:
        """Latents before standardisation."""
        return self.layers(pixels)

    def forward(self, pixels: Tensor) -> Tensor:
        """Standardised latents."""
        return (self.raw(pixels) - self.mean) / self.std


class FrameDecoder(nn.Module):
    """Standardised latents `[N, 8, 8, 8]` to pixels `[N, 3, 64, 64]`, about in [-1, 1]."""

    def __init__(self) -> None:
        super().__init__()
        fine, middle, coarse = WIDTHS
        self.layers = nn.Sequential(
            nn.Conv2d(LATENT_CHANNELS, coarse, 3, padding=1),
            *_blocks(2),
            nn.Conv2d(coarse, 4 * middle, 3, padding=1),
            nn.PixelShuffle(2),
            *_blocks(1),
            nn.Conv2d(middle, 4 * fine, 3, padding=1),
            nn.PixelShuffle(2),
            *_blocks(0),
            nn.SiLU(),
            nn.Conv2d(fine, 12, 3, padding=1),
            nn.PixelShuffle(2),
        )

    def forward(self, latents: Tensor) -> Tensor:
        """Pixels, not clamped."""
        return self.layers(latents)
