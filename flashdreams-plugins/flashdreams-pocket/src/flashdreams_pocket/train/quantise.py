"""Matrices to int8 rows, clipped where that lowers the error. Core reads them: `io.row_quantised`."""

from __future__ import annotations

import torch
from torch import Tensor

from flashdreams.io.row_quantised import SCALE


def quantise(matrix: Tensor) -> tuple[Tensor, Tensor]:
    """A matrix as int8 and float16 scales of its rows, clipped where that lowers the error."""
    rows = matrix.detach().float().flatten(1)
    largest = rows.abs().amax(dim=1, keepdim=True).clamp_min(1e-8)
    best = torch.full_like(largest, float("inf"))
    scale, values = torch.ones_like(largest), torch.zeros_like(rows)
    for clip in torch.linspace(0.7, 1.0, 13):
        trial = (largest * clip / 127).clamp_min(6e-8).half().float()
        rounded = (rows / trial).round().clamp(-127, 127)
        error = (rounded * trial - rows).square().sum(dim=1, keepdim=True)
        better = error < best
        best = torch.where(better, error, best)
        scale = torch.where(better, trial, scale)
        values = torch.where(better, rounded, values)
    return values.to(torch.int8).view(matrix.shape), scale.flatten().half()


def pack(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """A state dict as it is stored."""
    packed: dict[str, Tensor] = {}
    for name, value in state.items():
        if name.endswith("weight") and value.dim() >= 2:
            packed[name], packed[name + SCALE] = quantise(value)
        else:
            packed[name] = value.detach().float().clone()
    return packed
