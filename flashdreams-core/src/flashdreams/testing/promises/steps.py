"""Promises about the steps of a chunk: in order, and repeatable until they are final."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import Any

from torch import Tensor

from flashdreams.errors import OutOfOrderError
from flashdreams.infra.pipeline.execution import Execution, Stage
from flashdreams.infra.pipeline.slots import Slot
from flashdreams.infra.pipeline.stages import ChunkStages
from flashdreams.testing.contract import broken, skip
from flashdreams.testing.promises.base import PipelinePromises
from flashdreams.testing.promises.subject import Subject, Video, same


class StepPromises(PipelinePromises):
    """generate and finalize can be repeated, and refuse to be called out of order."""

    def test_steps_out_of_order_are_refused(self) -> None:
        """A chunk that is not next is neither made nor made final."""
        with self.trial() as subject:
            pipeline, rollout = subject.pipeline, subject.begin()
            given = subject.controls[0]
            _refused(lambda: pipeline.finalize(0, rollout), "finalize(0) before generate(0)")
            _refused(lambda: pipeline.generate(1, rollout, input=given), "generate(1) at first")
            pipeline.generate(0, rollout, input=given)
            _refused(lambda: pipeline.generate(1, rollout, input=given), "generate(1) before finalize(0)")
            pipeline.finalize(0, rollout)
            _refused(lambda: pipeline.generate(0, rollout, input=given), "generate(0) after finalize(0)")

    def test_generate_may_be_repeated(self) -> None:
        """A chunk made twice is the same, and so are those after it."""
        with self.trial() as subject:
            _check(subject, _made_twice(subject), "a video whose chunks were made twice")

    def test_a_control_that_was_taken_back_leaves_no_trace(self) -> None:
        """A chunk may be made with another control instead; it is then as if the first was never given."""
        with self.trial() as subject:
            if not subject.capabilities.controls:
                skip("It is declared to take no controls.")
            rollout, video = subject.begin(), []
            for _ in range(subject.short):
                subject.generate(rollout, control=-1)
                video.append(subject.step(rollout))
            _check(subject, video, "a video whose chunks were first made with another control")

    def test_a_generate_that_failed_may_be_repeated(self) -> None:
        """Wherever it broke off."""
        with self.trial() as subject:
            for place in ("flow", "denoise", "decode"):
                who = f"a video whose chunks broke off after {place}"
                _check(subject, _generated_again(subject, place), who)

    def test_a_finalize_that_failed_may_be_repeated(self) -> None:
        """Wherever it broke off: what is done is not done twice, or makes no difference."""
        with self.trial() as subject:
            for place in ("write_context", "commit"):
                who = f"a video whose finalize broke off after {place}"
                _check(subject, _finalized_again(subject, place), who)


def _check(subject: Subject, video: Video, who: str) -> None:
    __tracebackhide__ = True
    same(
        subject.expected(len(video)),
        video,
        who,
        "A step can be repeated until finalize has ended, with the same result.",
        "Write what a chunk changes at places that follow from its index, and add nothing to what is there; "
        "what take_control takes up, begin it anew each time.",
    )


def _refused(call: Callable[[], Any], what: str) -> None:
    __tracebackhide__ = True
    try:
        call()
    except OutOfOrderError:
        return
    broken(
        f"{what} was not refused.",
        "Chunks are made in order, and each is final before the next.",
        "Leave generate and finalize of the pipeline as they are, or call them from your own.",
    )


def _made_twice(subject: Subject) -> Video:
    rollout, video = subject.begin(), []
    for _ in range(subject.short):
        subject.generate(rollout)
        video.append(subject.step(rollout))
    return video


def _generated_again(subject: Subject, place: str) -> Video:
    """A video, each chunk of which broke off once at a place of ``generate``."""
    rollout, video = subject.begin(), []
    for _ in range(subject.short):
        with _breaking_off(subject, place):
            subject.generate(rollout)
        video.append(subject.step(rollout))
    return video


def _finalized_again(subject: Subject, place: str) -> Video:
    """A video, each chunk of which broke off once at a place of ``finalize``."""
    rollout, video = subject.begin(), []
    for index in range(subject.short):
        video.append(subject.generate(rollout))
        with _breaking_off(subject, place):
            subject.pipeline.finalize(index, rollout)
        if rollout.next_index == index:
            subject.pipeline.finalize(index, rollout)
    return video


class _BrokenOffError(Exception):
    """What breaks a step off."""


class _BreakingOff(Execution):
    """Runs stages as they are written, and breaks off once."""

    def __init__(self, stages: ChunkStages, place: str) -> None:
        self._stages = stages
        self._place = place
        self._ran = ""

    def run(self, stage: Stage, slot: Slot) -> Tensor | None:
        """Run one stage, and break off after the one that is meant: ``flow`` is the first pass."""
        if (stage.name, self._place) == ("denoise", "flow"):
            self._stages.run_in_passes(slot, self.run)
            return None
        result = super().run(stage, slot)
        self._ran = stage.name
        self._come_to(stage.name)
        return result

    def aside(self) -> AbstractContextManager[None]:
        """Break off where what was written is being committed."""
        if self._ran == "write_context":
            self._come_to("commit")
        return super().aside()

    def _come_to(self, place: str) -> None:
        if place == self._place:
            self._place = ""
            raise _BrokenOffError


@contextmanager
def _breaking_off(subject: Subject, place: str) -> Iterator[None]:
    """Inside, a step breaks off at a place, if it comes there."""
    pipeline = subject.pipeline
    before, pipeline.execution = pipeline.execution, _BreakingOff(pipeline.stages, place)
    try:
        with suppress(_BrokenOffError):
            yield
    finally:
        pipeline.execution = before
