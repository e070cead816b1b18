"""Slots: the memory of the rollouts that are alive, allocated once and lent again and again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from flashdreams.errors import NoFreeSlotError
from flashdreams.infra import state_tree
from flashdreams.infra.diffusion.transformer.base import TransformerCache

Size = tuple[int, int, int]
"""Batch size, height and width of a rollout: what its memory depends on."""


@dataclass
class DoubleBuffer:
    """A state that is committed late: what the next chunk starts from, and what it would leave behind.

    Both sides keep their addresses. ``None`` stands for the beginning of a rollout.
    """

    committed: Any = None
    staged: Any = None
    started: bool = False

    @property
    def state(self) -> Any:
        """What the next chunk starts from."""
        return self.committed if self.started else None

    def begin(self, state: Any) -> None:
        """Begin a rollout at ``state``."""
        self.started = state is not None
        if self.started:
            self.committed = state_tree.updated(self.committed, state)

    def stage(self, state: Any) -> None:
        """Keep what the current chunk would leave behind."""
        self.staged = state_tree.updated(self.staged, state)

    def commit(self) -> None:
        """Let the next chunk start from what was staged."""
        if self.staged is not None:
            self.committed = state_tree.updated(self.committed, self.staged)
            self.started = True

    def snapshot(self) -> Any:
        """A host copy of the committed state."""
        return state_tree.host_copy(self.state)


@dataclass(eq=False)
class Slot:
    """The memory of one rollout."""

    size: Size
    noise: Tensor
    """The draws of the current chunk, ``[draws, B, C, T, H, W]``."""
    transformer: TransformerCache
    encoder: DoubleBuffer = field(default_factory=DoubleBuffer)
    decoder: DoubleBuffer = field(default_factory=DoubleBuffer)
    control: Any = None
    """What the encoder made of the current chunk's input."""

    def bytes(self) -> int:
        """What the slot weighs."""
        return sum(t.numel() * t.element_size() for t in state_tree.tensors(self))


class SlotPool:
    """At most ``limit`` slots, made when first needed and kept for the next rollout of their size.

    The slot given back last is lent first, so that rollouts that follow one another share one.
    """

    def __init__(self, limit: int, allocate: Callable[[Size], Slot]) -> None:
        self.limit = limit
        self.lent = 0
        self._allocate = allocate
        self._free: list[Slot] = []

    def lease(self, size: Size) -> Slot:
        """Lend a slot of this size.

        Raises:
            NoFreeSlotError: ``limit`` slots are lent already.
        """
        if self.lent >= self.limit:
            raise NoFreeSlotError(
                f"All {self.limit} slots of this pipeline are in use.",
                f"Every living rollout holds one; one of this size takes {self._cost(size)}.",
                "Close a rollout (rollout.close(), or `with`), or set the pipeline's slots higher.",
            )
        slot = self._take(size) or self._allocate(size)
        self.lent += 1
        return slot

    def give_back(self, slot: Slot) -> None:
        """Take a slot back; its memory waits for the next rollout."""
        self.lent -= 1
        self._free.append(slot)

    def clear(self) -> None:
        """Drop the memory of all free slots."""
        self._free.clear()

    def _take(self, size: Size) -> Slot | None:
        match = next((slot for slot in reversed(self._free) if slot.size == size), None)
        if match is not None:
            self._free.remove(match)
        elif self._free and self.lent + len(self._free) >= self.limit:
            self._free.pop(0)  # room for a slot of another size
        return match

    def _cost(self, size: Size) -> str:
        with torch.device("meta"):
            return f"{self._allocate(size).bytes() / 2**20:.1f} MiB"
