"""Promises about copies of a rollout: a snapshot, a fork, another slot."""

from __future__ import annotations

from flashdreams.infra.pipeline.rollout import Rollout
from flashdreams.testing.promises.base import PipelinePromises
from flashdreams.testing.promises.subject import Subject, Video, same

_BEFORE, _AFTER = 2, 2
"""Chunks before a rollout is copied, and after it."""


class CopyPromises(PipelinePromises):
    """A rollout is a value: what it goes on with can be copied."""

    def test_a_snapshot_goes_on_as_its_rollout_did(self) -> None:
        """Restored after the rollout has gone on and was closed."""
        with self.trial() as subject:
            rollout, begun = _begun(subject)
            snapshot = rollout.snapshot()
            subject.go_on(rollout, _AFTER, control=-1)
            rollout.close()
            _check(subject, begun, subject.keep(subject.pipeline.restore(snapshot)), "a restored snapshot")

    def test_forks_go_their_own_ways(self) -> None:
        """None of the rollouts that go on from one place sees what another does."""
        with self.trial() as subject:
            rollout, begun = _begun(subject)
            snapshot = rollout.snapshot()
            forks = [subject.keep(subject.pipeline.restore(snapshot)) for _ in range(2)]
            subject.go_on(forks[0], _AFTER, control=-1)
            _check(subject, begun, forks[1], "a fork beside another")
            _check(subject, begun, rollout, "a rollout that was forked")

    def test_a_rollout_can_move_to_another_slot(self) -> None:
        """As an engine moves it to memory that was made ready."""
        with self.trial() as subject:
            rollout, begun = _begun(subject)
            rollout.move_into(subject.keep(rollout.scratch()))
            _check(subject, begun, rollout, "a rollout that was moved to another slot")


def _begun(subject: Subject) -> tuple[Rollout, Video]:
    subject.needs_chunks(_BEFORE + _AFTER)
    rollout = subject.begin()
    return rollout, subject.go_on(rollout, _BEFORE)


def _check(subject: Subject, begun: Video, rollout: Rollout, who: str) -> None:
    __tracebackhide__ = True
    same(
        subject.expected(_BEFORE + _AFTER),
        [*begun, *subject.go_on(rollout, _AFTER)],
        who,
        "A copy of a rollout goes on bit for bit as the rollout would have.",
        "Keep all that chunks leave behind in declared fields of the cache and in returned states: tensors, "
        "plain values, or objects with snapshot() and restore().",
    )
