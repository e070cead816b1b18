"""A rollout: one video in the making, as a value."""

from __future__ import annotations

import weakref
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Any

from torch import Tensor

from flashdreams.errors import ClosedRolloutError, OutOfOrderError
from flashdreams.infra import state_tree
from flashdreams.infra.pipeline.config import StreamInferencePipelineConfig
from flashdreams.infra.pipeline.noise import NoiseSource
from flashdreams.infra.pipeline.slots import Size, Slot

if TYPE_CHECKING:
    from flashdreams.infra.pipeline.base import StreamInferencePipeline


@dataclass(frozen=True)
class Snapshot:
    """A rollout's committed state in host memory, between two chunks."""

    config: StreamInferencePipelineConfig
    size: Size
    seed: int
    next_index: int
    noise_source: NoiseSource
    transformer: Any
    encoder: Any
    decoder: Any

    @property
    def bytes(self) -> int:
        """Bytes of host memory that it takes."""
        return state_tree.taken_bytes([self.transformer, self.encoder, self.decoder])


@dataclass(eq=False)
class PendingChunk:
    """A chunk that was generated and waits to be finalized."""

    index: int
    latents: Tensor
    """Clean latents, ``[B, C, T, H, W]``: a copy, the reader's to keep."""
    written: bool = False
    """Whether its keys and values are in the cache, so that only committing is left."""


class Rollout:
    """One video in the making, and its cache: what ``initialize_cache`` returns.

    It holds a slot of its pipeline until it is closed, leaves its ``with`` block, or is collected.
    """

    def __init__(
        self, pipeline: StreamInferencePipeline, slot: Slot, seed: int, noise_source: NoiseSource
    ) -> None:
        self.pipeline = pipeline
        self.seed = seed
        self.noise_source = noise_source
        self.next_index = 0
        """Index of the chunk to generate next: how many chunks are final."""
        self.pending: PendingChunk | None = None
        self.path = ""
        """How the chunk generated last was computed: "eager", or as the engine says."""
        self._announced = False
        self._hold(slot)

    @property
    def batch_size(self) -> int:
        """Videos made side by side."""
        return self.slot.size[0]

    @property
    def slot(self) -> Slot:
        """The rollout's memory.

        Raises:
            ClosedRolloutError: The rollout was closed.
        """
        if not self._give_back.alive:
            raise ClosedRolloutError(
                f"This rollout was closed after {self.next_index} chunks.",
                "A closed rollout has given its memory back.",
                "Begin another with pipeline.initialize_cache(), or restore a snapshot.",
            )
        return self._slot

    def check_generate(self, index: int) -> None:
        """Refuse to generate any chunk but the next.

        Raises:
            OutOfOrderError: ``index`` is another chunk, or is being finalized.
        """
        if index != self.next_index:
            raise OutOfOrderError(
                f"generate({index}) was called, and {self.next_index} chunks are final.",
                f"The chunk to generate is {self.next_index}.",
                self._remedy(index),
            )
        if self.pending is not None and self.pending.written:
            raise OutOfOrderError(
                f"generate({index}) was called, and finalize({index}) was interrupted half-way.",
                "A chunk that has begun to be final is not made again.",
                f"Call finalize({index}) once more.",
            )

    def take_pending(self, index: int) -> PendingChunk:
        """The generated chunk that ``finalize(index)`` is to commit.

        Raises:
            OutOfOrderError: That chunk was not the last one generated, or is final already.
        """
        if self.pending is None or self.pending.index != index:
            raise OutOfOrderError(
                f"finalize({index}) was called, and chunk {index} is not waiting for it.",
                f"The chunk to finalize is {self.next_index}, once it has been generated.",
                f"Call generate({self.next_index}) first.",
            )
        return self.pending

    def advance(self) -> None:
        """Count the pending chunk as final."""
        self.next_index, self.pending = self.next_index + 1, None

    def announce(self) -> Rollout:
        """Tell the pipeline's observers that the rollout has begun."""
        self._announced = True
        self.pipeline.observers.rollout_started(self)
        return self

    def snapshot(self) -> Snapshot:
        """Copy the committed state to host memory. A chunk not yet finalized is not part of it.

        Raises:
            OutOfOrderError: ``finalize`` was interrupted half-way.
        """
        self.check_generate(self.next_index)
        slot = self.slot
        self.pipeline.execution.catch_up()
        return Snapshot(
            config=self.pipeline.config,
            size=slot.size,
            seed=self.seed,
            next_index=self.next_index,
            noise_source=self.noise_source,
            transformer=state_tree.snapshot(slot.transformer),
            encoder=state_tree.snapshot(slot.encoder.state),
            decoder=state_tree.snapshot(slot.decoder.state),
        )

    def snapshot_bytes(self) -> int:
        """Bytes of host memory that a :meth:`snapshot` takes now: more, the more chunks attention sees."""
        slot = self.slot
        return state_tree.snapshot_bytes([slot.transformer, slot.encoder.state, slot.decoder.state])

    def scratch(self) -> Rollout:
        """A rollout in a slot of the same size that observers are not told of: room to work in.

        Raises:
            NoFreeSlotError: As many rollouts are alive as the pipeline has slots.
        """
        pipeline = self.pipeline
        pipeline.execution.catch_up()  # a slot of another size may be dropped for this one
        return Rollout(pipeline, pipeline.slots.lease(self.slot.size), self.seed, self.noise_source)

    def move_into(self, other: Rollout) -> None:
        """Go on in the slot of another rollout of the same size, which gets this one's and is of no more use.

        What the other slot held is overwritten with this rollout's committed state, on the device.
        """
        here, there = self.slot, other.slot
        there.take(here)
        self._give_back.detach()
        other._give_back.detach()
        self._hold(there)
        other._hold(here)

    def fork(self) -> Rollout:
        """A second rollout that has seen the same chunks and goes its own way from here.

        It is copied on the device: host memory is needed for nothing but objects of the state that look after
        themselves and cannot ``take`` one another.

        Raises:
            OutOfOrderError: ``finalize`` was interrupted half-way.
            NoFreeSlotError: As many rollouts are alive as the pipeline has slots.
        """
        self.check_generate(self.next_index)
        execution, twin = self.pipeline.execution, self.scratch()
        try:
            with execution.work(after_all=True):
                with execution.aside():  # where decoding will drop it again
                    twin.slot.decoder.begin(self.slot.decoder.state)
                execution.rejoin()
                twin.slot.take(self.slot)
            execution.catch_up()
            twin.next_index = self.next_index
            return twin.announce()
        except BaseException:
            twin.close()
            raise

    def close(self) -> None:
        """Give the slot back. Closing twice is harmless."""
        if not self._give_back.alive:
            return
        try:
            if self._announced:
                self.pipeline.observers.rollout_finished(self)
        finally:
            self.pipeline.execution.rollout_closed(self)
            self.pipeline.execution.catch_up()
            self._give_back()

    def __enter__(self) -> Rollout:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _hold(self, slot: Slot) -> None:
        self._slot = slot
        self._give_back = weakref.finalize(self, self.pipeline.slots.give_back, slot)

    def _remedy(self, index: int) -> str:
        if index == self.next_index + 1 and self.pending is not None:
            return f"Call finalize({self.next_index}) before generate({index})."
        return f"Call generate({self.next_index}), or begin another rollout to start over."
