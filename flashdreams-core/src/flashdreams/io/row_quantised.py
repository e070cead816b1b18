"""Weights as int8 rows: a matrix ``name`` of int8 beside its scales, ``name.scale``, float16 ``[rows]``.

A weight is its int8 value times the scale of its row; a convolution's rows are its output channels.
Such a file weighs a quarter of float32.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection

    from torch import Tensor

SCALE = ".scale"
"""What the name of a matrix's scales adds to its own."""
SMALLEST_SCALE = 6e-8  # the least that float16 holds; a row of zeros divides by it


def quantise_rows(matrix: Tensor) -> tuple[Tensor, Tensor]:
    """Round ``[rows, ...]`` to int8, each row to 127 levels on either side of 0.

    A row's largest weights are clipped, by up to 30 %, where that lowers its squared error.

    Returns:
        The matrix as int8, and the float16 scales, ``[rows]``.
    """
    import torch

    rows = matrix.detach().float().flatten(1)
    largest = rows.abs().amax(dim=1, keepdim=True).clamp_min(1e-8)
    least = torch.full_like(largest, float("inf"))
    scale, values = torch.ones_like(largest), torch.zeros_like(rows)
    for clip in torch.linspace(0.7, 1.0, 13):
        trial = (largest * clip / 127).clamp_min(SMALLEST_SCALE).half().float()
        rounded = (rows / trial).round().clamp(-127, 127)
        error = (rounded * trial - rows).square().sum(dim=1, keepdim=True)
        better = error < least
        least = torch.where(better, error, least)
        scale = torch.where(better, trial, scale)
        values = torch.where(better, rounded, values)
    return values.to(torch.int8).view(matrix.shape), scale.flatten().half()


def dequantise_rows(matrix: Tensor, scale: Tensor) -> Tensor:
    """The float32 weights of an int8 matrix ``[rows, ...]`` and its scales, ``[rows]``."""
    return matrix.float() * scale.float().view(-1, *[1] * (matrix.dim() - 1))


def scales_in(names: Collection[str]) -> dict[str, str]:
    """Names of matrices that have scales beside them, and the names of their scales."""
    known = set(names)
    return {name: name + SCALE for name in names if name + SCALE in known}
