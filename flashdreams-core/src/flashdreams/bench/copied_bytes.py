"""Counts the bytes that are copied into some memory, and of it: what keeping the past costs.

Operators that compute with the memory, as attention does, only read it. Whatever else makes a new tensor of
it copies it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

COMPUTING = frozenset(
    {
        *("mm", "bmm", "addmm", "baddbmm", "fused_attention"),
        *("_scaled_dot_product_flash_attention_for_cpu", "_scaled_dot_product_flash_attention"),
        *("_scaled_dot_product_efficient_attention", "_scaled_dot_product_cudnn_attention"),
        *("_scaled_dot_product_fused_attention_overrideable", "_flash_attention_forward"),
    }
)
"""Operators that read keys and values to compute with them."""


class CopiedBytes(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts while it is entered.

    Args:
        memory: Tensors that are watched, with all that shares their memory.
    """

    written: int
    """Bytes written into the memory that come from elsewhere."""
    moved: int
    """Bytes of the memory that were copied, within it or out of it."""

    def __init__(self, memory: Iterable[Tensor]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._watched = {tensor.untyped_storage().data_ptr() for tensor in memory}
        self.written = self.moved = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Run ``func``, and count what it copies."""
        result = func(*args, **(kwargs or {}))
        if func._schema.is_mutable and self._holds(args[0]):
            self._count_write(args[0], list(_tensors((args[1:], kwargs))))
        elif not func.is_view and func.overloadpacket.__name__ not in COMPUTING:
            read = any(map(self._holds, _tensors((args, kwargs))))
            self.moved += sum(map(_bytes, _tensors(result))) if read else 0
        return result

    def _count_write(self, target: Tensor, sources: list[Tensor]) -> None:
        """Count what is written to the memory: as many bytes as the last source has, where the values are."""
        size = _bytes(sources[-1] if sources else target)
        if any(map(self._holds, sources)):
            self.moved += size
        else:
            self.written += size

    def _holds(self, value: Any) -> bool:
        return isinstance(value, Tensor) and value.untyped_storage().data_ptr() in self._watched


class RollingWindow:
    """Keys and values that are moved up for every new chunk, as a window without a ring keeps them.

    Args:
        like: Keys of one layer with a full window, ``[B, window * frame_tokens, heads, head_dim]``.
        layers: Attention layers.
    """

    def __init__(self, like: Tensor, layers: int) -> None:
        self.memory = [torch.zeros_like(like) for _ in range(2 * layers)]

    def begin_chunk(self, tokens: int) -> None:
        """Forget the oldest ``tokens`` of every layer, and make room for as many."""
        for memory in self.memory:
            kept = memory.shape[1] - tokens
            memory.narrow(1, 0, kept).copy_(memory.narrow(1, tokens, kept).clone())

    def update(self, layer: int, k: Tensor, v: Tensor) -> None:
        """Write the chunk's keys and values at the end."""
        for memory, new in zip(self.memory[2 * layer :], (k, v), strict=False):
            memory.narrow(1, memory.shape[1] - new.shape[1], new.shape[1]).copy_(new)


def _tensors(tree: Any) -> Iterator[Tensor]:
    return (leaf for leaf in tree_leaves(tree) if isinstance(leaf, Tensor))


def _bytes(tensor: Tensor) -> int:
    return tensor.numel() * tensor.element_size()
