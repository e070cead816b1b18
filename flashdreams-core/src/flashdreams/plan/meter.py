"""What a pass takes, found out by running it on tensors without values."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator, MutableMapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode
from torch.utils.weak import WeakIdKeyDictionary

from flashdreams.core.fused_attention import fused_attention
from flashdreams.infra.config.placement import placement
from flashdreams.plan.workspace import workspace

LOOKUPS = (torch.ops.aten.embedding, torch.ops.aten.index_select, torch.ops.aten.index)
"""Operations that read a few rows of a table, and not all of it."""


SMALL = 2**25
"""Bytes from which on glibc's allocator gives a block back to the system when it is freed (its largest
``M_MMAP_THRESHOLD``). Smaller ones stay with the process."""


@dataclass
class Reading:
    """What ran between the beginning and the end of a measurement."""

    flops: int = 0
    """Multiplications and additions, each one FLOP."""
    float8_flops: int = 0
    """Of these, those of products in float8."""
    attention_flops: int = 0
    """Of these, those of attention."""
    live_before: int = 0
    """Bytes alive when it began."""
    peak: int = 0
    """Most bytes alive at once while it ran, those from before and kernels' workspaces included."""
    small: int = 0
    """Most bytes at once in blocks below :data:`SMALL`, without those from before."""
    weights_read: int = 0
    """Bytes of the weights that it read, each counted once however often it was read."""
    carried: int = 0
    """Fewest bytes of its inputs and results, to be set by who knows them."""

    @property
    def moved(self) -> int:
        """Fewest bytes that pass between memory and processor."""
        return self.weights_read + self.carried


class Meter(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Follows the memory of tensors on ``meta`` that are made while it is entered.

    Storages that were there before, such as weights, are not counted as alive; nor are those of modules
    that are built as skeletons meanwhile (``placement().device`` is "meta").
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.live = 0
        self._peak = 0
        self._small = 0
        self._small_peak = 0
        self._known: MutableMapping[torch.UntypedStorage, bool] = _by_identity()
        self._read: MutableMapping[torch.UntypedStorage, bool] = _by_identity()
        self._weights_read = 0

    @contextmanager
    def reading(self) -> Iterator[Reading]:
        """Measure what runs inside; the reading is complete when the block has ended."""
        reading = Reading(live_before=self.live)
        self._peak, self._read, small_before = self.live, _by_identity(), self._small
        self._small_peak, self._weights_read = self._small, 0
        counter = FlopCounterMode(display=False)
        with counter, _FusedAttention():
            yield reading
        reading.flops = counter.get_total_flops()
        by_operator = counter.get_flop_counts().get("Global", {})
        reading.float8_flops = by_operator.get(torch.ops.aten._scaled_mm, 0)
        reading.attention_flops = by_operator.get(torch.ops.flashdreams.fused_attention, 0)
        reading.peak = self._peak
        reading.small = self._small_peak - small_before
        reading.weights_read = self._weights_read

    def __torch_dispatch__(
        self, func: Any, types: Sequence[type], args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Run ``func`` and follow what it returns."""
        if placement().device == "meta":
            return func(*args, **(kwargs or {}))
        lookup = func.overloadpacket in LOOKUPS
        for tensor in _on_meta((args, kwargs)):
            self._see(tensor, is_read=not lookup)
        result = func(*args, **(kwargs or {}))
        for tensor in _on_meta(result):
            self._follow(tensor.untyped_storage())
        self._peak = max(self._peak, self.live + workspace(func.overloadpacket, args, result))
        self._small_peak = max(self._small_peak, self._small)
        return result

    def _see(self, tensor: Tensor, is_read: bool) -> None:
        storage = tensor.untyped_storage()
        foreign = self._known.setdefault(storage, True)
        if foreign and is_read and storage not in self._read:
            self._read[storage] = True
            self._weights_read += storage.nbytes()

    def _follow(self, storage: torch.UntypedStorage) -> None:
        if storage in self._known:
            return
        self._known[storage] = False
        size = storage.nbytes()
        self._count(size)
        weakref.finalize(storage, self._count, -size)

    def _count(self, size: int) -> None:
        self.live += size
        self._small += size if abs(size) < SMALL else 0


class _FusedAttention(TorchFunctionMode):
    """Sends torch's own attention through the fused operation, which is what a device computes."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Any = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Call ``func``, or the fused operation in its place."""
        kwargs = kwargs or {}
        if func is F.scaled_dot_product_attention:
            q, k, v = (*args, *(kwargs[name] for name in ("query", "key", "value") if name in kwargs))[:3]
            if q.is_meta and q.dim() == 4:
                return fused_attention(q, k, v)
        return func(*args, **kwargs)


def _by_identity() -> Any:
    return WeakIdKeyDictionary()


def _on_meta(tree: Any) -> Iterator[Tensor]:
    return (leaf for leaf in tree_leaves(tree) if isinstance(leaf, Tensor) and leaf.is_meta)
