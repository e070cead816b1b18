"""Arguments for kernels, drawn: sizes, values, and how tensors lie in memory."""

from __future__ import annotations

import random
from typing import Any

import torch
from torch import Tensor


class Draws:
    """Draws that depend on a seed alone; what is asked for in one order is the same each time.

    Args:
        seed: Of sizes, values and layouts.
        dtype: Of :meth:`normal` where it is not told another.
        device: Where tensors lie.
    """

    def __init__(self, seed: int, dtype: torch.dtype = torch.float32, device: str = "cpu") -> None:
        self.dtype = dtype
        self.device = device
        self._random = random.Random(seed)
        self._generator = torch.Generator().manual_seed(seed)

    def among(self, *choices: Any) -> Any:
        """One of the choices."""
        return self._random.choice(choices)

    def normal(self, *shape: int, dtype: torch.dtype | None = None) -> Tensor:
        """Standard normal values, contiguous."""
        return torch.randn(shape, generator=self._generator).to(self.device, dtype or self.dtype)

    def order(self, count: int) -> Tensor:
        """The numbers below ``count`` in some order, int64 ``[count]``."""
        return torch.randperm(count, generator=self._generator).to(self.device)

    def strided(self, *shape: int, dtype: torch.dtype | None = None, dims: int | None = None) -> Tensor:
        """Standard normal values, contiguous or not.

        Args:
            *shape: Shape.
            dtype: As in :meth:`normal`.
            dims: How many leading dimensions may lie in any order or have gaps; all where None.
        """
        return self.relaid(self.normal(*shape, dtype=dtype), dims)

    def relaid(self, tensor: Tensor, dims: int | None = None) -> Tensor:
        """The same values in another layout: contiguous, with gaps, or with dimensions in another order."""
        free = tensor.dim() if dims is None else dims
        if free == 0:
            return tensor
        layout = self.among("contiguous", "gaps", "order")
        if layout == "gaps":
            wide = tensor.new_zeros(
                [2 * size if dim < free else size for dim, size in enumerate(tensor.shape)]
            )
            part = wide[tuple(slice(None, None, 2) for _ in range(free))]
            return part.copy_(tensor)
        if layout == "order":
            order = self._random.sample(range(free), free)
            order += range(free, tensor.dim())
            back = [order.index(dim) for dim in range(tensor.dim())]
            return tensor.permute(order).contiguous().permute(back)
        return tensor.contiguous()
