"""Rollouts that are at the same step, computed as one batch."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor

from flashdreams.errors import InputError
from flashdreams.infra.batch_tree import DIFFERENT_FORMS, are_alike, gathered, not_together, part_of, scatter
from flashdreams.infra.pipeline.checks import check_ours
from flashdreams.infra.pipeline.rollout import PendingChunk
from flashdreams.infra.pipeline.slots import Size, Slot

if TYPE_CHECKING:
    from flashdreams.infra.pipeline.base import StreamInferencePipeline
    from flashdreams.infra.pipeline.rollout import Rollout

_SIZES = 2
"""Batches of different sizes whose memory is kept."""


class Together:
    """Makes the next chunk of several rollouts in one go, each with the noise of its own seed.

    Every rollout keeps its slot, and may go on alone after any chunk: before each step its state is copied
    into memory for a batch, and afterwards what is new is copied back. That memory, of as many slots as there
    are rollouts in the batch, comes on top of the pipeline's ``slots``; it is kept for the two sizes used
    last. A video made so equals the same made alone up to rounding: larger products are added up in another
    order. Not for models whose runner declares ``Capabilities(batch=False)``.
    """

    def __init__(self, pipeline: StreamInferencePipeline) -> None:
        self.pipeline = pipeline
        self._slots: OrderedDict[tuple[Size, torch.device], Slot] = OrderedDict()

    def can_join(self, rollouts: Sequence[Rollout]) -> bool:
        """Whether the next chunk of these can be made as one batch, as far as their states tell.

        What steers the chunk may still keep them apart; then :meth:`generate` says so.

        Raises:
            ClosedRolloutError: One of them was closed.
            RolloutError: One of them belongs to another pipeline.
        """
        return self._obstacle(rollouts) is None

    @torch.no_grad()
    def generate(self, rollouts: Sequence[Rollout], inputs: Sequence[Any]) -> list[Tensor]:
        """Make the next chunk of each rollout, as ``pipeline.generate`` does: ``[1, 3, T, H, W]`` each.

        May be repeated until :meth:`finalize` commits the chunks. After a failure each rollout is where it
        was and can go on alone; a chunk of it that was generated and not finalized is to be made again.

        Args:
            rollouts: Two or more, for which :meth:`can_join` holds.
            inputs: What steers the chunk of each.

        Raises:
            RolloutError: They cannot be computed together.
            InputError: There is not one input for each.
        """
        self._check(rollouts, inputs)
        execution, index = self.pipeline.execution, rollouts[0].next_index
        for rollout in rollouts:
            execution.begin_chunk(rollout, index)
        with execution.work([*inputs]):
            for rollout, input in zip(rollouts, inputs, strict=True):
                if self.pipeline.prepare(index, rollout, input) is not None:
                    raise not_together(f"chunk {index} of one is given, and not made")
            chunk, latents = self._made([rollout.slot for rollout in rollouts])
        for rollout, part in zip(rollouts, latents.chunk(len(rollouts)), strict=True):
            rollout.pending, rollout.path = PendingChunk(index, part), f"batch of {len(rollouts)}"
        execution.catch_up([chunk, latents])
        chunks = [*chunk.chunk(len(rollouts))]
        for rollout, part in zip(rollouts, chunks, strict=True):
            self.pipeline.observers.chunk_generated(rollout, index, part)
        return chunks

    @torch.no_grad()
    def finalize(self, rollouts: Sequence[Rollout]) -> None:
        """Commit the chunks that were generated, as ``pipeline.finalize`` does.

        After a failure, those whose chunk is still pending may be finalized again, each alone or together.

        Raises:
            ClosedRolloutError: One of them was closed.
            OutOfOrderError: One of them has no chunk to commit.
            RolloutError: They cannot be computed together.
        """
        self._refuse(self._difference(rollouts))
        index = rollouts[0].next_index
        waiting = [rollout for rollout in rollouts if not rollout.take_pending(index).written]
        if len(waiting) > 1:
            with self.pipeline.execution.work():
                self._write_context(index, [rollout.slot for rollout in waiting])
            for rollout in waiting:
                rollout.take_pending(index).written = True
        for rollout in rollouts:
            self.pipeline.finalize(index, rollout)

    def _made(self, slots: Sequence[Slot]) -> tuple[Tensor, Tensor]:
        """Pixels and clean latents of all, side by side; each slot has what its own would have left there."""
        execution, stages, batch = self.pipeline.execution, self.pipeline.stages, self._gathered(slots)
        execution.run(stages.denoise, batch)
        latents = batch.latents.clone()
        execution.rejoin()
        batch.to_decode.copy_(latents)
        with execution.aside():
            batch.decoder.begin(gathered(batch.decoder.committed, [slot.decoder.state for slot in slots]))
            chunk = cast(Tensor, execution.run(stages.decode, batch))
            for number, slot in enumerate(slots):
                slot.decoder.stage(part_of(batch.decoder.staged, number, len(slots)))
        scatter(batch.transformer, [slot.transformer for slot in slots])
        scatter(latents, [slot.latents for slot in slots])
        return chunk, latents

    def _write_context(self, index: int, slots: Sequence[Slot]) -> None:
        for slot in slots:
            self.pipeline.diffusion_model.transformer.begin_chunk(slot.transformer, index)
        batch = self._gathered(slots)
        self.pipeline.execution.run(self.pipeline.stages.write_context, batch)
        scatter(batch.transformer, [slot.transformer for slot in slots])

    def _gathered(self, slots: Sequence[Slot]) -> Slot:
        """Memory of a batch that holds what the passes of a chunk read in each of the slots."""
        batch = self._batch_slot((len(slots), *slots[0].size[1:]))
        batch.transformer = gathered(batch.transformer, [slot.transformer for slot in slots])
        batch.control = batch.controls.put(gathered(None, [slot.control for slot in slots]))
        batch.noise = gathered(batch.noise, [slot.noise for slot in slots])
        batch.latents = gathered(batch.latents, [slot.latents for slot in slots])
        return batch

    def _batch_slot(self, size: Size) -> Slot:
        pipeline, key = self.pipeline, (size, self.pipeline.device)
        slot = self._slots.get(key)
        if slot is None:
            slot = self._slots[key] = pipeline.stages.allocate(size, pipeline.dtype, pipeline.device)
        self._slots.move_to_end(key)
        while len(self._slots) > _SIZES:
            self._slots.popitem(last=False)
        return slot

    def _check(self, rollouts: Sequence[Rollout], inputs: Sequence[Any]) -> None:
        if len(inputs) != len(rollouts):
            raise InputError(
                f"{len(inputs)} inputs were given for {len(rollouts)} rollouts.",
                "There is one for each, None where nothing steers it.",
                "Give as many.",
            )
        self._refuse(self._obstacle(rollouts))

    def _refuse(self, obstacle: str | None) -> None:
        if obstacle is not None:
            raise not_together(obstacle)

    def _obstacle(self, rollouts: Sequence[Rollout]) -> str | None:
        """Why the next chunk of these can be made as no batch; None where it can."""
        difference = self._difference(rollouts)
        if difference is not None:
            return difference
        if any(rollout.pending is not None and rollout.pending.written for rollout in rollouts):
            return "one of them is about to be finalized"
        states = [[rollout.slot.transformer, rollout.slot.decoder.state] for rollout in rollouts]
        return None if are_alike(states) else DIFFERENT_FORMS

    def _difference(self, rollouts: Sequence[Rollout]) -> str | None:
        """Why these are no rollouts of one pipeline and size at one chunk; None where they are."""
        for rollout in rollouts:
            check_ours(rollout, self.pipeline)
        if len({id(rollout) for rollout in rollouts}) < max(2, len(rollouts)):
            return "they are not two or more"
        sizes = {rollout.slot.size for rollout in rollouts}
        if len(sizes) > 1 or sizes.pop()[0] != 1:
            return "they are not all single videos of one size"
        if len({rollout.next_index for rollout in rollouts}) > 1:
            return "they are at different chunks"
        return None
