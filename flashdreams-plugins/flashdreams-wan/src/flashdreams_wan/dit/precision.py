"""Parameters that stay exact when a model is cast to a shorter dtype."""

from __future__ import annotations

from collections.abc import Callable
from typing import Self

import torch
from torch import Tensor, nn

_EXACT = frozenset({torch.float32, torch.float64})


def exact(dtype: torch.dtype) -> torch.dtype:
    """The dtype that norms, rotations and modulation are computed in: float32, or ``dtype`` if longer."""
    return dtype if dtype in _EXACT else torch.float32


def cast(x: Tensor, dtype: torch.dtype) -> Tensor:
    """``x.to(dtype)``, without a call where there is nothing to do: it is asked dozens of times a block."""
    return x if x.dtype is dtype else x.to(dtype)


class ExactParameters(nn.Module):
    """A module whose own parameters stay float32 (or longer), whatever it is cast to.

    Wan computes what it makes of the timestep in float32. To bfloat16 the timesteps 998 and 1000 are the
    same, and what is made of them is added to every token of every block. The modules inside of it are
    cast as usual.
    """

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        if recurse:
            for child in self.children():
                child._apply(fn)
        super()._apply(_keeping_exact(fn), recurse=False)
        return self


class ExactLinear(ExactParameters, nn.Linear):
    """A linear layer in float32 (or longer)."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs, dtype=torch.float32)


def _keeping_exact(fn: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    def apply(tensor: Tensor) -> Tensor:
        moved = fn(tensor)
        return moved if moved.dtype == exact(moved.dtype) else tensor.to(moved.device)

    return apply
