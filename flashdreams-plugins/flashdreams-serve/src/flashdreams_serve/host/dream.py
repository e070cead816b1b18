"""A rollout and its control log, kept in step."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from flashdreams.infra.runner.steering import Value
from flashdreams_serve.host.control_log import ControlLog
from flashdreams_serve.host.orders import Opening

if TYPE_CHECKING:
    from torch import Tensor

    from flashdreams.infra.pipeline.rollout import Rollout, Snapshot
    from flashdreams.infra.runner.base import Runner


@dataclass(frozen=True)
class Kept:
    """A dream that can be gone back to."""

    snapshot: Snapshot
    log: ControlLog

    @cached_property
    def bytes(self) -> int:
        """Bytes of host memory that the snapshot takes."""
        return self.snapshot.bytes


class Dream:
    """A rollout that somebody steers. Only the thread that computes may use it.

    Args:
        runner: Whose pipeline the rollout lives on.
        rollout: The rollout; it is closed with the dream.
        log: What it began with, and what has steered it so far.
    """

    def __init__(self, runner: Runner, rollout: Rollout, log: ControlLog) -> None:
        self.runner = runner
        self.rollout = rollout
        self.log = log

    @classmethod
    def begin(cls, runner: Runner, log: ControlLog) -> Dream:
        """Begin a rollout as an empty log says.

        Raises:
            InputError: The model does not take what it is to begin with.
        """
        return cls(runner, runner.pipeline.initialize_cache(**conditions(runner, log.opening)), log)

    @classmethod
    def back_to(cls, runner: Runner, kept: Kept) -> Dream:
        """Go on from a snapshot."""
        return cls(runner, runner.pipeline.restore(kept.snapshot), kept.log.copy())

    @property
    def next_chunk(self) -> int:
        """Index of the chunk that is made next."""
        return self.rollout.next_index

    def input(self, news: Mapping[str, Value]) -> Any:
        """What steers the next chunk, as ``generate`` takes it.

        Raises:
            InputError: The model does not take it.
        """
        return self.runner.steered(self.log.steers(news))

    def make(self, news: Mapping[str, Value]) -> Tensor:
        """Make the next chunk, with which ``news`` come: pixels ``[B, 3, T, H, W]``. May be repeated.

        Raises:
            InputError: The model does not take what steers it.
        """
        return self.runner.pipeline.generate(self.next_chunk, self.rollout, input=self.input(news))

    def finalize(self) -> None:
        """Let later chunks see the one that was made. Twice is once."""
        if self.rollout.pending is not None:
            self.runner.pipeline.finalize(self.next_chunk, self.rollout)

    def finish(self, values: Mapping[str, Value]) -> None:
        """The chunk that was made, which obeys these new values, is final."""
        self.finalize()
        self.log.note(self.log.news(values))

    def keep(self) -> Kept:
        """A snapshot, between two chunks."""
        return Kept(self.rollout.snapshot(), self.log.copy())

    def fork(self) -> Dream:
        """A second one that has seen the same, in a slot of its own; copied on the device."""
        return Dream(self.runner, self.rollout.fork(), self.log.copy())

    def close(self) -> None:
        """Give the slot back. Twice is harmless."""
        self.rollout.close()


def conditions(runner: Runner, opening: Opening) -> dict[str, Any]:
    """Arguments of ``initialize_cache`` for what a rollout begins with."""
    start: Any = opening.start
    if opening.image is not None:
        from flashdreams.io.images import as_pixels

        start = as_pixels(opening.image)
    return runner.opening(seed=opening.seed or 0, prompt=opening.prompt, start=start)
