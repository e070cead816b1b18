"""Promises about videos side by side: none depends on its neighbours."""

from __future__ import annotations

from typing import Any

from flashdreams.testing.contract import skip
from flashdreams.testing.promises.base import PipelinePromises
from flashdreams.testing.promises.subject import (
    OTHER_PROMPT,
    Subject,
    Video,
    noise_of_member,
    other_noise,
    same,
)

_CHUNKS = 2
"""Enough to have a past; every further chunk would enlarge what rounding does."""


class BatchPromises(PipelinePromises):
    """A batch is several videos, to the tolerance that its runner states."""

    def test_videos_of_a_batch_do_not_see_each_other(self) -> None:
        """Other noise and another prompt of the second video change nothing of the first."""
        with self.trial() as subject:
            chunks = _chunks(subject)
            other: dict[str, Any] = {"noise": other_noise(lambda chunk, draw, member: member == 1)}
            prompts = subject.batch_conditions.get("prompts")
            if subject.capabilities.prompts and prompts:
                first = prompts if isinstance(prompts, str) else prompts[0]
                other["prompts"] = [first, OTHER_PROMPT]
            same(
                _member(0, subject.expected(chunks, batch_size=2)),
                _member(0, subject.video(chunks, fresh=True, batch_size=2, **other)),
                "a video beside another neighbour",
                "Videos of a batch do not see each other.",
                "Look for a mean, norm or attention over dim 0, or for members mixed up by a reshape.",
                subject.capabilities.batch_tolerance,
            )

    def test_a_video_of_a_batch_equals_the_same_made_alone(self) -> None:
        """Each, to the tolerance that is declared: larger products are added up in another order."""
        with self.trial() as subject:
            chunks = _chunks(subject)
            batch = subject.expected(chunks, batch_size=2)
            second = subject.video(chunks, fresh=True, noise=noise_of_member(1))
            for number, alone in enumerate([subject.expected(chunks), second]):
                same(
                    alone,
                    _member(number, batch),
                    f"video {number} of a batch, beside the same made alone,",
                    "A video is the same in a batch and alone, within batch_tolerance.",
                    "Look for what is done once for all members; or declare "
                    "Capabilities(batch_tolerance=...) with what was measured.",
                    subject.capabilities.batch_tolerance,
                )


def needs_batches(subject: Subject) -> None:
    """Skip the check where videos are made one at a time."""
    if not subject.capabilities.batch:
        skip("It is declared to make one video at a time.")


def _chunks(subject: Subject) -> int:
    needs_batches(subject)
    return subject.at_most(_CHUNKS)


def _member(number: int, video: Video) -> Video:
    return [chunk[number : number + 1] for chunk in video]
