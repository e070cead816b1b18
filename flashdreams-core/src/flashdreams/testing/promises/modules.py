"""Promises about modules: a rollout changes nothing of them, since all rollouts share them."""

from __future__ import annotations

from flashdreams.testing.contract import broken
from flashdreams.testing.promises import fingerprint
from flashdreams.testing.promises.base import PipelinePromises
from flashdreams.testing.promises.subject import Subject


class ModulePromises(PipelinePromises):
    """Whatever changes during a rollout lives in the rollout."""

    def test_weights_never_change(self) -> None:
        """Parameters and buffers are after a rollout what they were before it."""
        with self.trial() as subject:
            before = fingerprint.weights(subject.pipeline)
            _run(subject, seed=1)
            changed = fingerprint.changed(before, fingerprint.weights(subject.pipeline))
            if changed:
                broken(
                    f"A rollout has changed {', '.join(changed[:3])}.",
                    "Weights and buffers never change after loading: all rollouts share them.",
                    "Keep it in the cache that allocate_cache returns, or in the state that forward returns.",
                )

    def test_modules_keep_nothing_of_a_rollout(self) -> None:
        """Attributes of modules are after a rollout what they were before; a memo may settle in the first."""
        with self.trial() as subject:
            _run(subject, seed=1)
            before = fingerprint.attributes(subject.pipeline)
            _run(subject, seed=2)
            changed = fingerprint.changed(before, fingerprint.attributes(subject.pipeline))
            if changed:
                broken(
                    f"A rollout has changed the attribute {', '.join(changed[:3])}.",
                    "A module keeps nothing between calls: another rollout would find it.",
                    "Keep it in the cache that allocate_cache returns, or in the state that forward returns.",
                )


def _run(subject: Subject, seed: int) -> None:
    with subject.begin(seed=seed) as rollout:
        for index in range(subject.short):
            subject.step(rollout, control=index % len(subject.controls))
