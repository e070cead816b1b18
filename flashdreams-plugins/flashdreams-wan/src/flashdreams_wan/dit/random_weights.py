"""Random weights with which every part of the transformer can be seen at work."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from flashdreams_wan.dit.network import WanDiT

DRAWN = 1048573
"""Values drawn for a tensor; a longer one repeats them, since drawing takes ten times as long as copying.
A prime, so that no two rows of a matrix are the same."""


def initialise(network: WanDiT, seed: int) -> None:
    """Fill a network in place, with the same values in every dtype and on every machine.

    Tokens, and the flow in the end, keep a standard deviation of about 1; nothing is zero, as the head,
    biases and modulation of a network at the start of its training are.

    Args:
        network: On any device but ``meta``.
        seed: Seed of the values.
    """
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in network.named_parameters():
        mean, std = _distribution(name, parameter)
        values = torch.empty(min(parameter.numel(), DRAWN)).normal_(mean, std, generator=generator)
        for piece in parameter.view(-1).split(DRAWN):
            piece.copy_(values[: len(piece)])


def _distribution(name: str, parameter: Tensor) -> tuple[float, float]:
    """Mean and standard deviation of a parameter's values."""
    if name.endswith("modulation"):
        return 0.0, 0.3
    if name.endswith("bias"):
        return 0.0, 0.1
    if parameter.dim() == 1:  # the gain of a norm
        return 1.0, 0.1
    return 0.0, 1 / math.sqrt(parameter[0].numel())
