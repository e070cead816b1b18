"""Slots: the memory of the rollouts that are alive, allocated once and lent again and again."""

from __future__ import annotations

import threading
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

    Both sides keep their addresses, on ``device``. None stands for the beginning of a rollout.
    """

    device: torch.device
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
            self.committed = state_tree.updated(self.committed, state, self.device)

    def stage(self, state: Any) -> None:
        """Keep what the current chunk would leave behind."""
        self.staged = state_tree.updated(self.staged, state, self.device)

    def commit(self) -> None:
        """Let the next chunk start from what was staged. May be repeated."""
        self.begin(self.staged)


@dataclass
class FixedPlaces:
    """Places for a value that changes every chunk: one address for each signature it comes in."""

    device: torch.device
    limit: int = 8
    trees: list[Any] = field(default_factory=list)

    def put(self, tree: Any) -> Any:
        """The same values at an address that values of this signature always have."""
        signature = state_tree.signature(tree)
        for place in self.trees:
            if state_tree.signature(place) == signature:
                return state_tree.updated(place, tree)
        place = state_tree.updated(None, tree, self.device)
        self.trees = [*self.trees[1 - self.limit :], place]
        return place


@dataclass(eq=False)
class Slot:
    """The memory of one rollout."""

    size: Size
    noise: Tensor
    """The draws of the current chunk, ``[draws, B, C, T, H, W]``."""
    latents: Tensor
    """The current chunk once it is clean, ``[B, C, T, H, W]``: what is written as context."""
    to_decode: Tensor
    """The same, for the decoder alone: decoding may go on while the next chunk takes ``latents``."""
    timestep: Tensor
    """What the pass that runs is told, float32 ``[1]``, where passes are run one by one."""
    transformer: TransformerCache
    encoder: DoubleBuffer
    decoder: DoubleBuffer
    controls: FixedPlaces
    control: Any = None
    """What the passes of the current chunk are given: its encoded input, as the transformer took it up."""

    def take(self, other: Slot) -> None:
        """Hold the committed state of another slot of the same size, at the addresses that this one has."""
        device = self.encoder.device
        self.transformer = state_tree.carried_over(self.transformer, other.transformer, device)
        self.encoder.begin(other.encoder.state)
        self.decoder.begin(other.decoder.state)
        self.control = self.controls.put(other.control)


class SlotPool:
    """At most ``limit`` slots, made when first needed and kept for the next rollout of their size.

    The slot given back last is lent first, so that rollouts that follow one another share one.
    """

    def __init__(self, limit: int, allocate: Callable[[Size], Slot]) -> None:
        self.limit = limit
        self.lent = 0
        self._allocate = allocate
        self._free: list[Slot] = []
        self._bytes: dict[Size, int] = {}
        self._lock = threading.RLock()  # a collected rollout may give its slot back in any thread

    def lease(self, size: Size) -> Slot:
        """Lend a slot of this size.

        Raises:
            NoFreeSlotError: ``limit`` slots are lent already.
        """
        with self._lock:
            if self.lent >= self.limit:
                raise NoFreeSlotError(
                    f"All {self.limit} slots of this pipeline are in use.",
                    f"Every living rollout holds one, of {self._cost()}.",
                    "Close a rollout (rollout.close(), or `with`), or set the pipeline's slots higher.",
                )
            slot = self._take(size) or self._make(size)
            self.lent += 1
            return slot

    def give_back(self, slot: Slot) -> None:
        """Take a slot back; its memory waits for the next rollout."""
        with self._lock:
            self.lent -= 1
            self._free.append(slot)

    def clear(self) -> None:
        """Drop the memory of all free slots."""
        with self._lock:
            self._free.clear()

    def _take(self, size: Size) -> Slot | None:
        match = next((slot for slot in reversed(self._free) if slot.size == size), None)
        if match is not None:
            self._free.remove(match)
        elif self._free and self.lent + len(self._free) >= self.limit:
            self._free.pop(0)  # room for a slot of another size
        return match

    def _make(self, size: Size) -> Slot:
        slot = self._allocate(size)
        tensors = state_tree.tensors([slot.noise, slot.latents, slot.transformer])
        self._bytes[size] = sum(tensor.numel() * tensor.element_size() for tensor in tensors)
        return slot

    def _cost(self) -> str:
        sizes = [f"{count / 2**20:.2f} MiB at {h}x{w}" for (_, h, w), count in self._bytes.items()]
        return " or ".join(sizes) or "no memory at all"
