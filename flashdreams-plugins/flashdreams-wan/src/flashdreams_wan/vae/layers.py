"""Layers of the VAE. All of them take and give frames ``[B, T, H, W, C]``.

That order is what convolutions on channels-last memory read without copying, and what norm and attention,
which go over the channels, want. Parameters have the shapes and names of the published checkpoint.
"""

from __future__ import annotations

from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from flashdreams.core.attention import attention
from flashdreams.core.convolution import Steps, convolution
from flashdreams_wan.vae.past import Past


class CausalConv(nn.Conv3d):
    """A 3x3x3 convolution of which each frame sees itself and the two before it."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__(channels_in, channels_out, 3, padding=(0, 1, 1))

    def forward(self, window: Tensor, past: Past) -> Tensor:  # type: ignore[override]
        """Convolve the frames of a window of ``past`` that come after its first two."""
        if past.is_first:  # those two are zeros, so two thirds of the kernel have nothing to do
            return conv2d(window[:, 2:], self.weight[:, :, -1], self.bias, padding=1)
        return conv3d(window, self)


class FrameConv(nn.Conv2d):
    """A convolution of each frame by itself."""

    def forward(self, frames: Tensor) -> Tensor:
        """``[B, T, H, W, C]`` to ``[B, T, H', W', C']``."""
        return conv2d(frames, self.weight, self.bias, stride=self.stride, padding=cast(Steps, self.padding))


class RMSNorm(nn.Module):
    """Scales the channels at each place to a mean square of 1, then each channel by ``gamma``."""

    def __init__(self, channels: int, *, dimensions: int = 3) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(channels, *[1] * dimensions))

    def forward(self, frames: Tensor, out: Tensor | None = None) -> Tensor:
        """Normalise frames, into ``out`` where it is given."""
        exact = torch.promote_types(frames.dtype, torch.float32)
        length = torch.linalg.vector_norm(frames, dim=-1, keepdim=True, dtype=exact)
        scale = frames.shape[-1] ** 0.5 / length.clamp_min_(1e-12)
        return torch.mul(frames, scale.to(frames.dtype), out=out).mul_(self.gamma.flatten())


class ResidualBlock(nn.Module):
    """Two causal convolutions beside the identity."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__()
        layers = {
            "0": RMSNorm(channels_in),
            "2": CausalConv(channels_in, channels_out),
            "3": RMSNorm(channels_out),
            "6": CausalConv(channels_out, channels_out),
        }
        self.residual = nn.ModuleDict(layers)  # the numbers that the published Sequential gives them
        self.shortcut = nn.Conv3d(channels_in, channels_out, 1) if channels_in != channels_out else None

    def forward(self, frames: Tensor, past: Past) -> Tensor:
        """``[B, T, H, W, channels_in]`` to ``[..., channels_out]``."""
        hidden = activated(self.residual["0"], frames, past)
        hidden = self.residual["2"](hidden, past)
        hidden = activated(self.residual["3"], hidden, past)
        hidden = self.residual["6"](hidden, past)
        return hidden.add_(frames if self.shortcut is None else pointwise(self.shortcut, frames))


class FrameAttention(nn.Module):
    """Self-attention of one head over the places of each frame by itself."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = RMSNorm(channels, dimensions=2)
        self.to_qkv = nn.Conv2d(channels, 3 * channels, 1)
        self.proj = nn.Conv2d(channels, channels, 1)

    def forward(self, frames: Tensor, past: Past) -> Tensor:
        """``[B, T, H, W, C]`` to the same shape; nothing of the past is read."""
        places = self.norm(frames).flatten(0, 1).flatten(1, 2)
        q, k, v = (part.unsqueeze(2) for part in pointwise(self.to_qkv, places).chunk(3, dim=-1))
        read = pointwise(self.proj, attention(q, k, v).squeeze(2))
        return read.view(frames.shape).add_(frames)


class Head(nn.ModuleDict):
    """Norm, SiLU and the last causal convolution."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__({"0": RMSNorm(channels_in), "2": CausalConv(channels_in, channels_out)})

    def forward(self, frames: Tensor, past: Past) -> Tensor:
        """``[B, T, H, W, channels_in]`` to ``[..., channels_out]``."""
        return self["2"](activated(self["0"], frames, past), past)


def middle(channels: int) -> nn.ModuleList:
    """The layers at the lowest resolution."""
    first, last = (ResidualBlock(channels, channels) for _ in range(2))
    return nn.ModuleList([first, FrameAttention(channels), last])


def behind(past: Past, frames: Tensor, depth: int = 2) -> Tensor:
    """Frames behind the ``depth`` before them: the window of a causal convolution."""
    window = past.window(frames, depth)
    window[:, depth:] = frames
    past.keep(window, depth)
    return window


def activated(norm: nn.Module, frames: Tensor, past: Past) -> Tensor:
    """Norm and SiLU of frames, behind the two before them, which were activated when they were present."""
    window = past.window(frames)
    F.silu(norm(frames, out=window[:, 2:]), inplace=True)
    past.keep(window)
    return window


def pointwise(conv: nn.Conv2d | nn.Conv3d, x: Tensor) -> Tensor:
    """A convolution of kernel size 1 on a tensor whose channels come last."""
    return F.linear(x, conv.weight.flatten(1), conv.bias)


def conv2d(
    frames: Tensor, weight: Tensor, bias: Tensor | None, *, stride: Steps = 1, padding: Steps = 0
) -> Tensor:
    """A convolution of each frame by itself."""
    flat = frames.flatten(0, 1).permute(0, 3, 1, 2)
    result = convolution(flat, weight, bias, stride=stride, padding=padding).permute(0, 2, 3, 1)
    return result.unflatten(0, frames.shape[:2])


def conv3d(window: Tensor, conv: nn.Conv3d) -> Tensor:
    """A convolution over time and space of frames behind those that it looks back at."""
    x = window.permute(0, 4, 1, 2, 3)
    padding = cast(Steps, conv.padding)
    result = convolution(x, conv.weight, conv.bias, stride=conv.stride, padding=padding)
    return result.permute(0, 2, 3, 4, 1)


def lay_out(module: nn.Module) -> None:
    """Lay the kernels of convolutions out as they are read: with the channels last. Values stay."""
    for part in module.modules():
        if isinstance(part, nn.Conv3d):
            part.weight.data = part.weight.data.contiguous(memory_format=torch.channels_last_3d)
        elif isinstance(part, nn.Conv2d):
            part.weight.data = part.weight.data.contiguous(memory_format=torch.channels_last)
