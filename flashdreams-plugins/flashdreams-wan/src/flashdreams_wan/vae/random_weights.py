"""Random weights with which both halves of the VAE can be seen at work."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

IN_TIME = (0.1, 0.2, 0.7)
"""How much the frames before and the present one count in a smooth kernel."""
IN_SPACE = (0.25, 0.5, 0.25)
"""How much neighbours count in a smooth kernel."""
DETAIL = 0.15
"""Deviation of the noise on smooth kernels; at 1 a kernel of nothing else would keep that of its input."""


def initialise(network: nn.Module, seed: int) -> None:
    """Fill a network in place, with the same values in every dtype and on every machine.

    Kernels mix the channels at random and blur a little in space and time, so that what is decoded of noise
    is a moving picture of soft colours; nothing is zero.

    Args:
        network: On any device but ``meta``.
        seed: Seed of the values.
    """
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in network.named_parameters():
        parameter.copy_(_values(name, parameter.shape, generator))


def _values(name: str, shape: torch.Size, generator: torch.Generator) -> Tensor:
    noise = torch.empty(shape).normal_(generator=generator)
    if name.endswith("bias"):
        return 0.1 * noise
    if name.endswith("gamma"):
        return 1 + 0.1 * noise
    channels_out, channels_in, *kernel = shape
    mix = torch.empty(channels_out, channels_in).normal_(generator=generator)
    if ".residual." in name or ".head." in name:
        mix -= mix.mean(dim=1, keepdim=True)  # SiLU is positive on average, and one colour would win
    if "upsamples" in name and "time_conv" in name:
        mix[channels_in:] = mix[:channels_in]  # two frames out of one, so they are much alike
    detail = DETAIL / math.sqrt(math.prod(kernel)) * noise
    smooth = mix.view(channels_out, channels_in, *[1] * len(kernel)) * _smooth(kernel)
    return (smooth + detail) / math.sqrt(channels_in)


def _smooth(kernel: list[int]) -> Tensor:
    """A kernel of sum 1 that blurs: time (where there are three dimensions), height, width."""
    axes = [torch.tensor(IN_TIME)] if len(kernel) == 3 else []
    axes += [torch.tensor(IN_SPACE)] * 2
    smooth = torch.ones([1] * len(kernel))
    for axis, (length, taps) in enumerate(zip(kernel, axes, strict=True)):
        if length > 1:
            smooth = smooth * taps.view([-1 if each == axis else 1 for each in range(len(kernel))])
    return smooth
