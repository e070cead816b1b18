"""When a rollout goes over from the model as it is written to compiled code: at a boundary between chunks.

A rollout is eager up to some chunk and compiled from it on. So a replay that goes over at the same chunk
computes the same.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from weakref import WeakKeyDictionary, WeakSet

from flashdreams.engine.compile.compiler import Compiler
from flashdreams.infra.pipeline.rollout import Rollout
from flashdreams.infra.pipeline.slots import Size

LOG = logging.getLogger(__name__)

OnSwap = Callable[[Rollout, int], None]
"""Told of a rollout and the first of its chunks that is compiled."""


class HotSwap:
    """Decides for each chunk of each rollout which of the two runs.

    A rollout goes over at the first chunk that finds all code ready, and a chunk of its size made before it;
    where ``swap_at`` is given at exactly that chunk, and then it waits for the code.

    Args:
        compiler: Has the code, or is making it.
        swap_at: The chunk at which every rollout goes over; None for the first that can.
        on_swap: Called when a rollout goes over.
    """

    def __init__(
        self, compiler: Compiler, *, swap_at: int | None = None, on_swap: OnSwap | None = None
    ) -> None:
        self._compiler, self._swap_at, self._on_swap = compiler, swap_at, on_swap
        compiler.waits_while_active = swap_at is not None
        self._swapped: WeakSet[Rollout] = WeakSet()
        self._eager_at: WeakKeyDictionary[Rollout, int] = WeakKeyDictionary()
        self._shown: set[Size] = set()

    def begin_chunk(self, rollout: Rollout, index: int) -> bool:
        """Whether chunk ``index`` is compiled; the same again where it is generated again."""
        if rollout in self._swapped:
            return True
        if self._eager_at.get(rollout) == index:
            return False
        if self._is_due(rollout, index):
            self._swap(rollout, index)
            return True
        self._eager_at[rollout] = index
        return False

    def _is_due(self, rollout: Rollout, index: int) -> bool:
        shown = self._has_been_shown(rollout.slot.size)
        if self._swap_at is None:
            return shown and self._compiler.is_ready
        if index < self._swap_at:
            return False
        self._compiler.wait()
        return self._compiler.is_ready or not self._compiler.seen

    def _has_been_shown(self, size: Size) -> bool:
        """Whether a chunk of this size began before, so that the compiler has seen what is called."""
        shown = size in self._shown
        self._shown.add(size)
        return shown

    def _swap(self, rollout: Rollout, index: int) -> None:
        self._swapped.add(rollout)
        LOG.info("Compiled code takes over at chunk %d.", index)
        if self._on_swap is not None:
            self._on_swap(rollout, index)
