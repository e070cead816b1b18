"""Promises about what a chunk depends on: the past and what steers it, and nothing that comes later."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import torch

from flashdreams.core.kv_cache import KVCache
from flashdreams.testing.contract import broken, skip
from flashdreams.testing.promises.base import PipelinePromises
from flashdreams.testing.promises.subject import (
    OTHER_PROMPT,
    Subject,
    differ,
    latents_of,
    other_noise,
    same,
)


class DependencePromises(PipelinePromises):
    """Past, prompt and control matter; the future does not."""

    def test_a_chunk_sees_nothing_that_comes_later(self) -> None:
        """What lies in memory where later chunks will be has no say, nor has their noise."""
        with self.trial() as subject:
            chunks = subject.short
            later = other_noise(lambda chunk, draw, member: chunk == chunks)
            rollout = subject.begin(fresh=True, noise=later)
            video = []
            for _ in range(chunks):
                _fill_what_is_not_written(subject, rollout.slot.transformer)
                video.append(subject.step(rollout))
            same(
                subject.expected(chunks),
                video,
                "a video with other values where later chunks will be",
                "A chunk depends on nothing that comes later.",
                "Let attention read no further than what update() returned, or the cache's lengths say.",
            )

    def test_the_past_matters(self) -> None:
        """Latents of a chunk are others after another chunk before it."""
        with self.trial() as subject:
            if not subject.capabilities.past:
                skip("It is declared to depend on no past.")
            if not subject.capabilities.seeds:
                skip("It is declared to depend on no seed, so there is no other past to try.")
            subject.needs_chunks(2)
            last = subject.short - 1
            rollout = subject.begin(
                fresh=True, noise=other_noise(lambda chunk, draw, member: chunk == last - 1)
            )
            subject.go_on(rollout, last)
            subject.generate(rollout)
            differ(
                subject.expected_latents(subject.short)[last:],
                [latents_of(rollout)],
                f"Chunk {last} has the same latents after another chunk {last - 1}.",
                "A chunk depends on the chunks before it.",
                "Write every chunk to the cache and attend to it; a model without a past declares "
                "Capabilities(past=False).",
            )

    def test_the_prompt_matters(self) -> None:
        """Another prompt makes another video."""
        with self.trial() as subject:
            if not subject.capabilities.prompts:
                skip("It is declared to take no prompts.")
            differ(
                subject.expected(subject.short),
                subject.video(subject.short, fresh=True, prompts=[OTHER_PROMPT]),
                "Two prompts make the same video.",
                "What the context encoder makes of a prompt steers every chunk.",
                "Use cache.context in predict_flow; check that the encoder does not answer from a memo.",
            )

    def test_the_control_matters(self) -> None:
        """Another control makes another chunk, or another one after it."""
        with self.trial() as subject:
            if not subject.capabilities.controls:
                skip("It is declared to take no controls.")
            if len(subject.controls) < 2:
                broken(
                    f"Controls are declared, and {len(subject.controls)} is given to try.",
                    "Two controls that steer apart show whether they matter.",
                    "Let the runner's control_examples() give two, or set controls in the contract.",
                )
            rollout = subject.begin(fresh=True)
            other = [subject.step(rollout, control=1) for _ in range(subject.short)]
            differ(
                subject.expected(subject.short),
                other,
                f"The controls {subject.controls[0]!r} and {subject.controls[1]!r} make the same chunks.",
                "A control steers its chunk, or those after it.",
                "Use control in predict_flow; a model that is not steered declares "
                "Capabilities(controls=False).",
            )


def _fill_what_is_not_written(subject: Subject, cache: Any) -> None:
    """Put arbitrary values where the KV caches hold nothing yet."""
    generator = torch.Generator(subject.pipeline.device).manual_seed(0)
    for past in kv_caches(cache):
        for memory in (past.keys, past.values):
            later = memory[:, :, past.filled :]
            # By way of float32: types of 8 bits cannot be drawn.
            later.copy_(torch.randn(later.shape, generator=generator, device=later.device))


def kv_caches(cache: Any) -> Iterator[KVCache]:
    """The KV caches among the fields of a transformer's cache."""
    for field in dataclasses.fields(cache):
        value = getattr(cache, field.name)
        yield from (each for each in _spread(value) if isinstance(each, KVCache))


def _spread(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return list(value.values())
    return list(value) if isinstance(value, list | tuple) else [value]
