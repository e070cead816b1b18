"""Promises about noise: the seed decides it, and it decides the video."""

from __future__ import annotations

from flashdreams.infra.pipeline.noise import NoiseSource
from flashdreams.testing.contract import skip
from flashdreams.testing.promises.base import PipelinePromises
from flashdreams.testing.promises.subject import Subject, differ, other_noise, same


class SeedPromises(PipelinePromises):
    """A video is a function of its seed and what it was given."""

    def test_the_same_seed_makes_the_same_video(self) -> None:
        """Bit for bit, in memory that no other rollout has used."""
        with self.trial() as subject:
            same(
                subject.expected(subject.short),
                subject.video(subject.short, fresh=True),
                "the same rollout made again",
                "Seed, prompts and controls decide every bit of a video.",
                "Draw nothing yourself (torch.randn, dropout): use the noise that is given, as draws of the "
                "scheduler; and fill memory before it is read.",
            )

    def test_another_seed_makes_another_video(self) -> None:
        """The noise that the seed decides is used."""
        with self.trial() as subject:
            _needs_seeds(subject)
            differ(
                subject.expected(subject.short),
                subject.expected(subject.short, seed=1),
                "Seeds 0 and 1 make the same video.",
                "Another seed is other noise, and so another video.",
                "Begin denoising with noise[0]; a model without chance declares Capabilities(seeds=False).",
            )

    def test_every_draw_of_noise_matters(self) -> None:
        """A scheduler asks for no noise that it leaves unused."""
        with self.trial() as subject:
            _needs_seeds(subject)
            draws = subject.pipeline.diffusion_model.scheduler.draws
            for number in range(draws):
                differ(
                    subject.expected(subject.short),
                    subject.video(subject.short, fresh=True, noise=_with_another_draw(number)),
                    f"Draw {number} of {draws} changes nothing.",
                    "Every draw that a scheduler asks for is used.",
                    "Use noise[n] at step n where the sampler adds noise, or let draws be fewer.",
                )


def _with_another_draw(number: int) -> NoiseSource:
    return other_noise(lambda chunk, draw, member: draw == number)


def _needs_seeds(subject: Subject) -> None:
    if not subject.capabilities.seeds:
        skip("It is declared to depend on no seed.")
