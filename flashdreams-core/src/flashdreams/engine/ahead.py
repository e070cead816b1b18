"""Graphs for a rollout that lives already: captured in a scratch slot between its chunks, then moved to.

The living rollout is neither read by a capture nor written. When all graphs are there, its state is copied into
the scratch slot, on the device, and it goes on there.
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
        self._rollout = rollout
        self.scratch = rollout.scratch()
        self._captures: Iterator[None] = iter(())
        self._begun = False
        self.is_done = False

    @torch.no_grad()
    def advance(self) -> None:
        """Capture one more stage."""
        if not self._begun:
            self._begun = True
            self.scratch.slot.take(self._rollout.slot)
            control = self.scratch.slot.control
            self._captures = captures_of(self.scratch, [lambda index: control])
        self.is_done = next(self._captures, self) is self

    def finish(self) -> None:
        """Capture all that is left."""
        while not self.is_done:
            self.advance()

    @torch.no_grad()
    def move(self) -> None:
        """Let the rollout go on where its graphs are."""
        execution = self._rollout.pipeline.execution
        with execution.work(after_all=True):
            self._rollout.move_into(self.scratch)
        execution.catch_up()
        self.scratch.close()

    def drop(self) -> None:
        """Give the scratch slot back."""
        self.scratch.close()
