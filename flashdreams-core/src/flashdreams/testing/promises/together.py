"""A promise about rollouts that are computed as one batch: each is what it is alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from flashdreams.errors import BrokenPromiseError, FlashDreamsError, RolloutError
from flashdreams.infra.pipeline.rollout import Rollout
from flashdreams.infra.pipeline.together import Together
from flashdreams.plugins.blame import FAILURES, one_line
from flashdreams.testing.contract import skip
from flashdreams.testing.promises.base import PipelinePromises
from flashdreams.testing.promises.batches import needs_batches
from flashdreams.testing.promises.subject import LONG, OTHER_PROMPT, Subject, Video, same


class TogetherPromises(PipelinePromises):
    """A server may compute the chunks of several people as one batch, and none of them notices."""

    def test_rollouts_computed_together_equal_each_alone(self) -> None:
        """With a seed, a prompt and controls of its own, to the tolerance that is declared."""
        with self.trial() as subject:
            needs_batches(subject)
            for number, member in enumerate(_made(subject)):
                same(
                    _expected(subject, member),
                    member.video,
                    f"rollout {number} of two computed together, beside the same made alone,",
                    "A rollout is the same computed with others and alone, within batch_tolerance.",
                    "Look for what is read or kept once for all: context, control, cache and state have a "
                    "row each, and gather() and scatter() of an object move all that it holds; or declare "
                    "Capabilities(batch_tolerance=...) with what was measured.",
                    subject.capabilities.batch_tolerance,
                )


@dataclass(frozen=True)
class _Member:
    """One of the rollouts that are computed together."""

    rollout: Rollout
    begun: Mapping[str, Any]
    """What it began with, beside the conditions; nothing where it is the first."""
    video: Video = field(default_factory=list)

    def control(self, index: int) -> int:
        """Number of the control that steers a chunk: at every second one, each has its own."""
        return -1 if self.begun and index % 2 else 0


def _made(subject: Subject) -> list[_Member]:
    """Two that were computed together, and then went on alone."""
    together = Together(subject.pipeline)
    members = _begun(subject, together)
    _make_together(subject, together, members)
    for member in members:
        with member.rollout:
            _make_alone(subject, member, subject.at_most(LONG) - subject.short)
    return members


def _begun(subject: Subject, together: Together) -> list[_Member]:
    """Two rollouts of other seeds, and of other prompts unless these keep them apart."""
    first = _Member(subject.begin(), {})
    prompts = [{"prompts": [OTHER_PROMPT]}] if subject.capabilities.prompts else []
    for prompt in [*prompts, {}]:
        begun: dict[str, Any] = {"seed": 1, **prompt}
        second = _Member(subject.begin(**begun), begun)
        if together.can_join([first.rollout, second.rollout]):
            return [first, second]
        second.rollout.close()
    skip("Rollouts are computed one by one: their states have different forms, or cannot be gathered.")


def _make_together(subject: Subject, together: Together, members: Sequence[_Member]) -> None:
    """A short video of each, as a server makes it: chunks that cannot be one batch are made alone."""
    obstacles = []
    for index in range(subject.short):
        # They change places, so that whatever stays behind in the memory of the batch meets the other one.
        obstacles.append(_make_one(subject, together, members if index % 2 == 0 else members[::-1], index))
    if all(obstacles):
        skip(obstacles[-1])


def _make_one(subject: Subject, together: Together, members: Sequence[_Member], index: int) -> str:
    """The next chunk of each, and why it is made alone, where it is."""
    with _naming_what_fails(f"Chunk {index} of two rollouts cannot be computed as one batch"):
        try:
            _make_batch(subject, together, members, index)
        except RolloutError as error:
            obstacle = error.what
        else:
            together.finalize([member.rollout for member in members])
            return ""
    for member in members:
        _make_alone(subject, member, 1)
    return obstacle


def _make_batch(subject: Subject, together: Together, members: Sequence[_Member], index: int) -> None:
    """Generate the next chunk of each as one batch.

    Raises:
        RolloutError: It cannot be one.
    """
    inputs = [subject.controls[member.control(index)] for member in members]
    chunks = together.generate([member.rollout for member in members], inputs)
    for member, chunk in zip(members, chunks, strict=True):
        member.video.append(chunk.clone())


def _make_alone(subject: Subject, member: _Member, chunks: int) -> None:
    """The next chunks of one of them."""
    for _ in range(chunks):
        index = member.rollout.next_index
        with _naming_what_fails(f"Chunk {index} of a rollout cannot be made alone after those of a batch"):
            member.video.append(subject.step(member.rollout, member.control(index)))


@contextmanager
def _naming_what_fails(what: str) -> Iterator[None]:
    try:
        yield
    except FlashDreamsError:
        raise
    except FAILURES as error:
        raise BrokenPromiseError(
            f"{what}: {one_line(error)}",
            "Of several videos, context, controls and the decoder's state have a row each, in dimension 0.",
            "Give them one row for one video, and take them with a row for each of several; or declare "
            "Capabilities(batch=False).",
        ) from error


def _expected(subject: Subject, member: _Member) -> Video:
    """What its video should be."""
    chunks = len(member.video)
    if not member.begun:
        return subject.expected(chunks)
    with subject.begin(fresh=True, **member.begun) as rollout:
        return [subject.step(rollout, member.control(index)) for index in range(chunks)]
