"""The released weights: int8 rows with fp16 scales on disk, float32 in memory.

A matrix `name` (or a convolution, flattened behind its output channels) is stored as int8 of
the same shape beside `name.scale`, float16 `[rows]`; a value is `int8 * scale` of its row.
Vectors are stored as they are. Prefixes: `encoder.`, `decoder.`, `dit.`; what follows is the
name in the module's state dict.
"""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors import safe_open
from torch import Tensor

SCALE = ".scale"


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


def dequantise(values: Tensor, scale: Tensor) -> Tensor:
    """The float32 matrix of `quantise`."""
    return values.float() * scale.float().view(-1, *[1] * (values.dim() - 1))


def pack(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """A state dict as it is stored."""
    packed: dict[str, Tensor] = {}
    for name, value in state.items():
        if name.endswith("weight") and value.dim() >= 2:
            packed[name], packed[name + SCALE] = quantise(value)
        else:
            packed[name] = value.detach().float().clone()
    return packed


def load_state(path: Path, part: str) -> dict[str, Tensor]:
    """The float32 state dict of one part ("encoder", "decoder", "dit") of a weights file."""
    prefix = f"{part}."
    state: dict[str, Tensor] = {}
    with safe_open(path, framework="pt") as file:
        names = [name for name in file.keys() if name.startswith(prefix)]  # noqa: SIM118
        for name in names:
            if name.endswith(SCALE):
                continue
            value = file.get_tensor(name)
            if value.dtype == torch.int8:
                value = dequantise(value, file.get_tensor(name + SCALE))
            state[name.removeprefix(prefix)] = value.float()
    return state
