"""The network of TAEHV's decoder (github.com/madebyollin/taehv), under its published names.

Layers take and give frames ``[B, T, H, W, C]``: memory on which convolutions with channels last need no copy.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from flashdreams.core.convolution import convolution
from flashdreams_taehv.config import TAEHVDecoderConfig

State = tuple[Tensor, ...]
"""The last frame ``[B, 1, H, W, C]`` before each block with memory, in their order."""

RGB = 3
PUBLISHED_GROWTH = (1, 2, 2)
"""Frames that the published weights make of one at each step from one resolution to the next."""


class TAEHVNetwork(nn.Module):
    """Latents to pixel frames in [0, 1]."""

    def __init__(self, config: TAEHVDecoderConfig) -> None:
        super().__init__()
        widths, grows = config.widths, (False, *config.upscale_time)
        layers: list[nn.Module] = [Clamp(), Conv(config.latent_channels, widths[0]), nn.ReLU(inplace=True)]
        for step, frames in enumerate(PUBLISHED_GROWTH):
            layers += [MemoryBlock(widths[step]) for _ in range(config.blocks)]
            layers += [
                nn.Identity(),  # enlarges in the published code; here Grow does, at a lower cost
                Grow(widths[step], frames, grows=grows[step], enlarges=config.upscale_space[step]),
                Conv(widths[step], widths[step + 1], bias=False),
            ]
        self.decoder = nn.ModuleList([*layers, nn.ReLU(inplace=True), Conv(widths[-1], RGB)])

    def forward(self, frames: Tensor, state: State | None) -> tuple[Tensor, State]:
        """Latent frames to four times as many pixel frames, of a video of which a part was decoded before."""
        kept: list[Tensor] = []
        for layer in self.decoder:
            if isinstance(layer, MemoryBlock):
                before = torch.zeros_like(frames[:, :1]) if state is None else state[len(kept)]
                kept.append(frames[:, -1:].clone())
                frames = layer(frames, before)
            else:
                frames = layer(frames)
        return frames, tuple(kept)


class Clamp(nn.Module):
    """Squeezes latents into (-3, 3)."""

    def forward(self, frames: Tensor) -> Tensor:
        """``3 tanh(frames / 3)``."""
        return frames.div(3).tanh_().mul_(3)


class Conv(nn.Conv2d):
    """A convolution of each frame by itself that keeps height and width."""

    def __init__(self, channels_in: int, channels_out: int, kernel: int = 3, *, bias: bool = True) -> None:
        super().__init__(channels_in, channels_out, kernel, padding=kernel // 2, bias=bias)

    def forward(self, frames: Tensor) -> Tensor:
        """``[B, T, H, W, C]`` to ``[B, T, H, W, C']``."""
        flat = frames.flatten(0, 1).permute(0, 3, 1, 2)
        result = convolution(flat, self.weight, self.bias, padding=self.kernel_size[0] // 2)
        return result.permute(0, 2, 3, 1).unflatten(0, frames.shape[:2])


class MemoryBlock(nn.Module):
    """Three convolutions of each frame beside the one before it, and the identity."""

    def __init__(self, width: int) -> None:
        super().__init__()
        layers = [Conv(2 * width, width), nn.ReLU(inplace=True), Conv(width, width)]
        self.conv = nn.Sequential(*layers, nn.ReLU(inplace=True), Conv(width, width))

    def forward(self, frames: Tensor, before: Tensor) -> Tensor:
        """``[B, T, H, W, C]`` and the frame before them to the same shape."""
        pairs = frames.new_empty(*frames.shape[:-1], 2 * frames.shape[-1])
        present, past = pairs.chunk(2, dim=-1)
        present.copy_(frames)
        past[:, :1] = before
        past[:, 1:] = frames[:, :-1]
        return self.conv(pairs).add_(frames).relu_()


class Grow(nn.Module):
    """Several frames out of each one, or the last of these alone; each place twice in height and width.

    The published code enlarges first. A convolution of kernel size 1 gives the same either way round.
    """

    def __init__(self, width: int, frames: int, *, grows: bool, enlarges: bool) -> None:
        super().__init__()
        self.conv = nn.Conv2d(width, width * frames, 1, bias=False)
        self.frames, self.side = frames if grows else 1, 2 if enlarges else 1

    def forward(self, frames: Tensor) -> Tensor:
        """``[B, T, H, W, C]`` to ``[B, T * frames, 2H, 2W, C]``."""
        batch, count, height, width, channels = frames.shape
        grown = F.linear(frames, self.conv.weight.flatten(1)[-channels * self.frames :])
        grown = grown.unflatten(-1, (self.frames, channels)).movedim(4, 2)
        repeated = grown[:, :, :, :, None, :, None].expand(-1, -1, -1, -1, self.side, -1, self.side, -1)
        return repeated.reshape(batch, count * self.frames, height * self.side, width * self.side, channels)
