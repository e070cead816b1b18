"""Noise as a function of seed, chunk, draw and batch member, and of nothing else."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from flashdreams.infra.state_tree import copy_in


class NoiseSource(Protocol):
    """Where noise comes from."""

    def __call__(self, seed: int, chunk: int, draw: int, member: int, shape: tuple[int, ...]) -> Tensor:
        """Standard normal noise, float32 of ``shape`` on the host."""
        ...


def philox_noise(seed: int, chunk: int, draw: int, member: int, shape: tuple[int, ...]) -> Tensor:
    """Noise from numpy's counter-based Philox generator (Salmon et al. 2011).

    The seed is the key; chunk, draw and member are the upper words of the counter, so any draw can be
    had without making those before it, on any machine and on any number of devices.
    """
    bits = np.random.Philox(key=seed, counter=[0, draw, member, chunk])
    return torch.from_numpy(np.random.Generator(bits).standard_normal(shape, dtype=np.float32))


def fill_noise(noise: Tensor, source: NoiseSource, seed: int, chunk: int) -> None:
    """Draw all noise of one chunk, in place: ``[draws, B, C, T, H, W]`` on the device."""
    draws, members, *shape = noise.shape
    drawn = [
        source(seed, chunk, draw, member, tuple(shape)) for draw in range(draws) for member in range(members)
    ]
    copy_in(noise, torch.stack(drawn).view(noise.shape))
