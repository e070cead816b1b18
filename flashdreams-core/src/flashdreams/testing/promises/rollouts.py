"""Promises about rollouts that follow one another, or live side by side: they do not see each other."""

from __future__ import annotations

from flashdreams.testing.contract import skip
from flashdreams.testing.promises.base import PipelinePromises
from flashdreams.testing.promises.subject import OTHER_PROMPT, Subject, Video, same


class RolloutPromises(PipelinePromises):
    """A rollout leaves no trace."""

    def test_a_used_slot_is_as_good_as_a_new_one(self) -> None:
        """A rollout in memory that another has left behind makes what it makes in new memory."""
        with self.trial() as subject:
            expected = subject.expected(subject.short)
            _leave_behind(subject)
            same(
                expected,
                subject.video(subject.short),
                "a rollout in memory that another has used",
                "A rollout begins as if it were the first.",
                "Allocate what the transformer's cache holds beside the KV cache in allocate_cache, and "
                "clear it in place in begin_rollout(cache, context), after super().",
            )

    def test_the_prompt_of_the_last_rollout_leaves_no_trace(self) -> None:
        """The same, after a rollout of another prompt."""
        with self.trial() as subject:
            if not subject.capabilities.prompts:
                skip("It is declared to take no prompts.")
            expected = subject.expected(subject.short)
            _leave_behind(subject, prompts=[OTHER_PROMPT])
            same(
                expected,
                subject.video(subject.short),
                "a rollout after one of another prompt",
                "A rollout knows no prompt but its own.",
                "Compute what depends on cache.context anew in begin_rollout, at the addresses it has.",
            )

    def test_rollouts_side_by_side_do_not_see_each_other(self) -> None:
        """Two that take turns make what each makes alone."""
        with self.trial() as subject:
            chunks = subject.short
            alone = [subject.expected(chunks), subject.expected(chunks, seed=1)]
            rollouts = [subject.begin(seed=seed) for seed in range(2)]
            mixed: list[Video] = [[], []]
            for _ in range(chunks):
                for video, rollout in zip(mixed, rollouts, strict=True):
                    video.append(subject.step(rollout))
            for expected, video in zip(alone, mixed, strict=True):
                same(
                    expected,
                    video,
                    "a rollout that takes turns with another",
                    "Rollouts that are alive at once do not see each other.",
                    "Let allocate_cache make new memory each time; share none in a global or a memo.",
                )


def _leave_behind(subject: Subject, **begun: object) -> None:
    """Fill a slot with what another rollout leaves there, steered otherwise at last."""
    with subject.begin(fresh=True, seed=5, **begun) as rollout:
        chunks = subject.at_most(subject.full + 1)
        subject.go_on(rollout, chunks - 1)
        subject.step(rollout, control=-1)
