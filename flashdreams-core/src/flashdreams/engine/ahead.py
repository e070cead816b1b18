"""Graphs for a rollout that lives already: captured in a scratch slot between its chunks, then moved to.

The living rollout is neither read by a capture nor written. When all graphs are there, its state is copied
into the scratch slot, on the device, and it goes on there.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch

from flashdreams.engine.graphs.warmup import captures_of
from flashdreams.infra.pipeline.rollout import Rollout


class Ahead:
    """The graphs of one living rollout, in the making.

    Raises:
        NoFreeSlotError: There is no slot to make them in.
    """

    def __init__(self, rollout: Rollout) -> None:
        self.scratch = rollout.scratch()
        self._captures: Iterator[None] | None = None
        self.is_done = False

    @torch.no_grad()
    def advance(self, rollout: Rollout) -> None:
        """Capture one more stage for ``rollout``, between two of its chunks."""
        if self._captures is None:
            execution = rollout.pipeline.execution
            with execution.work(after_all=True):
                execution.rejoin()  # the decoder's state is committed aside
                self.scratch.slot.take(rollout.slot)
            control = self.scratch.slot.control
            self._captures = captures_of(self.scratch, [lambda index: control], goes_on=True)
        self.is_done = next(self._captures, self) is self

    @torch.no_grad()
    def move(self, rollout: Rollout) -> None:
        """Let ``rollout`` go on where its graphs are."""
        execution = rollout.pipeline.execution
        with execution.work(after_all=True):
            execution.rejoin()  # the decoder's state is committed aside
            rollout.move_into(self.scratch)
        execution.catch_up()
        self.scratch.close()

    def drop(self) -> None:
        """Give the scratch slot back."""
        self.scratch.close()
