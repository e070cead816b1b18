"""Promises about what a chunk depends on: the past and what steers it, and nothing that comes later."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import torch

from flashdreams.core.kv_cache import KVCache
from flashdreams.testing.contract import broken, skip
from flashdreams.testing.promises.base import PipelinePromises
from flashdreams.testing.promises.subject import OTHER_PROMPT, Subject, differ, other_noise, same


class DependencePromises(PipelinePromises):
    """Past, prompt and control matter; the future does not."""

    def test_a_chunk_sees_nothing_that_comes_later(self) -> None:
        """What lies in memory where later chunks will be has no say, nor have their noise and control."""
        with self.trial() as subject:
            chunks = subject.short
            changed = other_noise(lambda chunk, draw, member: chunk == chunks - 1)
            rollout = subject.begin(fresh=True, noise=changed)
            video = []
            for index in range(chunks - 1):
                _fill_what_is_not_written(subject, rollout.slot.transformer)
                video.append(subject.step(rollout))
                if index == chunks - 2:
                    subject.step(rollout, control=-1)
            same(
                subject.expected(chunks)[: chunks - 1],
                video,
                "a video with other values where later chunks will be",
                "A chunk depends on nothing that comes later.",
                "Let attention read no further than what update() returned, or the cache's lengths say.",
            )

    def test_the_past_matters(self) -> None:
        """Latents of a chunk are others after another past."""
        with self.trial() as subject:
            if not subject.capabilities.past:
                skip("It is declared to depend on no past.")
            if not subject.capabilities.seeds:
                skip("It is declared to depend on no seed, so there is no other past to try.")
            subject.needs_chunks(3)
            differ(
                [_latents_of_chunk_2(subject, noise=other_noise(lambda chunk, draw, member: False))],
                [_latents_of_chunk_2(subject, noise=other_noise(lambda chunk, draw, member: chunk == 1))],
                "Chunk 2 has the same latents after another chunk 1.",
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


def _latents_of_chunk_2(subject: Subject, **begun: Any) -> torch.Tensor:
    with subject.begin(fresh=True, **begun) as rollout:
        subject.go_on(rollout, 2)
        chunk = subject.generate(rollout)
        return chunk if rollout.pending is None else rollout.pending.latents


def _fill_what_is_not_written(subject: Subject, cache: Any) -> None:
    """Put arbitrary values where the KV caches hold nothing yet."""
    generator = torch.Generator(subject.pipeline.device).manual_seed(0)
    for past in kv_caches(cache):
        for memory in (past.keys, past.values):
            if memory.is_floating_point():
                memory[:, :, past.filled :].normal_(generator=generator)


def kv_caches(cache: Any) -> Iterator[KVCache]:
    """The KV caches among the fields of a transformer's cache."""
    for field in dataclasses.fields(cache):
        value = getattr(cache, field.name)
        yield from (each for each in _spread(value) if isinstance(each, KVCache))


def _spread(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return list(value.values())
    return list(value) if isinstance(value, list | tuple) else [value]
