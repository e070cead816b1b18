"""What the checks of a pipeline work with: the pipeline, what it is given, and short ways to run it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from flashdreams.errors import ClosedRolloutError
from flashdreams.infra.pipeline.base import StreamInferencePipeline
from flashdreams.infra.pipeline.noise import NoiseSource, philox_noise
from flashdreams.infra.pipeline.rollout import Rollout
from flashdreams.infra.runner.capabilities import Capabilities
from flashdreams.testing.contract import broken, skip

OTHER_PROMPT = "A grey whale breathes out at the surface of a calm sea."
SHORT = 3
"""Chunks of a short rollout: one without a past, one with, and one whose past has a past."""
LONG = 4
"""Chunks of the longest video that checks compare with."""

Video = list[Tensor]
"""Chunks, each ``[B, C, T, H, W]``, copied as they were made."""


@dataclass(frozen=True)
class Kept:
    """A video that several checks compare with."""

    chunks: Video
    latents: Video
    """Those that each chunk was decoded from, ``[B, C, t, h, w]``."""


@dataclass(eq=False)
class Subject:
    """A pipeline under test."""

    pipeline: StreamInferencePipeline
    conditions: Mapping[str, Any]
    """Arguments of ``initialize_cache`` for one video, the seed left out."""
    batch_conditions: Mapping[str, Any]
    """The same for two videos side by side."""
    controls: Sequence[Any]
    """Inputs of chunks: the first one's, and others that steer elsewhere."""
    capabilities: Capabilities
    threads: int | None = None
    """CPU threads to compute with; None leaves the number to torch."""
    _open: list[Rollout] = field(default_factory=list)
    _kept: dict[tuple[tuple[str, int], ...], Kept] = field(default_factory=dict)

    @property
    def full(self) -> int:
        """Chunks that fill the window."""
        config = self.pipeline.diffusion_model.transformer.config
        return self.at_most(config.window // config.chunk)

    @property
    def short(self) -> int:
        """Chunks of a short rollout."""
        return self.at_most(SHORT)

    def at_most(self, chunks: int) -> int:
        """``chunks``, or all that a video may have."""
        return min(chunks, self.capabilities.chunks or chunks)

    def needs_chunks(self, chunks: int) -> None:
        """Skip the check where a video has fewer."""
        if self.at_most(chunks) < chunks:
            skip(f"A video has at most {self.capabilities.chunks} of the {chunks} chunks that this takes.")

    def begin(self, *, fresh: bool = False, **changes: Any) -> Rollout:
        """Begin a rollout of seed 0, in memory that no other has used where it is to be ``fresh``."""
        if fresh:
            self.pipeline.slots.clear()
        given = self.batch_conditions if changes.get("batch_size", 1) > 1 else self.conditions
        self._open.append(self.pipeline.initialize_cache(**{"seed": 0, **given, **changes}))
        return self._open[-1]

    def keep(self, rollout: Rollout) -> Rollout:
        """Close this rollout too when the check is over."""
        self._open.append(rollout)
        return rollout

    def step(self, rollout: Rollout, control: int = 0) -> Tensor:
        """Make the next chunk of a rollout, steered by the control of that number, and make it final."""
        index = rollout.next_index
        chunk = self.generate(rollout, control)
        self.pipeline.finalize(index, rollout)
        return chunk

    def generate(self, rollout: Rollout, control: int = 0) -> Tensor:
        """A copy of the next chunk, which is not made final."""
        made = self.pipeline.generate(rollout.next_index, rollout, input=self.controls[control])
        return made.clone()

    def go_on(self, rollout: Rollout, chunks: int, control: int = 0) -> Video:
        """The next chunks of a rollout."""
        return [self.step(rollout, control) for _ in range(chunks)]

    def video(self, chunks: int, **begun: Any) -> Video:
        """A video, its rollout closed again."""
        with self.begin(**begun) as rollout:
            return self.go_on(rollout, chunks)

    def expected(self, chunks: int, **begun: int) -> Video:
        """The video of the first control, made once, in memory that no other has used.

        Args:
            chunks: How many of it.
            **begun: Its seed, unless it is 0, and its batch size, unless it is 1.
        """
        return self._made_once(chunks, **begun).chunks[:chunks]

    def expected_latents(self, chunks: int) -> Video:
        """The latents that :meth:`expected` was decoded from."""
        return self._made_once(chunks).latents[:chunks]

    def _made_once(self, chunks: int, **begun: int) -> Kept:
        key = tuple(sorted(begun.items()))
        if key not in self._kept or len(self._kept[key].chunks) < chunks:
            self._kept[key] = self._made(chunks if begun else max(chunks, self.at_most(LONG)), **begun)
        return self._kept[key]

    def _made(self, chunks: int, **begun: int) -> Kept:
        made = Kept([], [])
        with self.begin(fresh=True, **begun) as rollout:
            for index in range(chunks):
                made.chunks.append(self.generate(rollout))
                made.latents.append(latents_of(rollout))
                self.pipeline.finalize(index, rollout)
        return made

    def close(self) -> None:
        """Give back the memory of all rollouts that were begun here."""
        while self._open:
            with suppress(ClosedRolloutError):
                self._open.pop().close()


def latents_of(rollout: Rollout) -> Tensor:
    """Clean latents of the chunk that was generated last, ``[B, C, t, h, w]``."""
    if rollout.pending is None:
        broken(
            f"generate({rollout.next_index}) leaves no pending chunk.",
            "A chunk that was generated waits for finalize.",
            "Leave generate and finalize of the pipeline as they are, or call them from your own.",
        )
    return rollout.pending.latents


def other_noise(where: Callable[[int, int, int], bool]) -> NoiseSource:
    """Noise as ever, but another draw where ``where(chunk, draw, member)`` says so."""

    def noise(seed: int, chunk: int, draw: int, member: int, shape: tuple[int, ...]) -> Tensor:
        return philox_noise(seed + where(chunk, draw, member), chunk, draw, member, shape)

    return noise


def noise_of_member(number: int) -> NoiseSource:
    """For a video made alone: the noise that member ``number`` of a batch has."""

    def noise(seed: int, chunk: int, draw: int, member: int, shape: tuple[int, ...]) -> Tensor:
        return philox_noise(seed, chunk, draw, member + number, shape)

    return noise


def difference(one: Tensor, other: Tensor) -> float:
    """Largest difference of two tensors; infinite where they have different shapes."""
    if one.shape != other.shape:
        return float("inf")
    return 0.0 if torch.equal(one, other) else (one.float() - other.float()).abs().max().item()


def same(expected: Video, got: Video, who: str, right: str, change: str, tolerance: float = 0.0) -> None:
    """Fail unless two videos are the same: bit for bit, unless a tolerance in pixels is given."""
    __tracebackhide__ = True
    for index, (one, other) in enumerate(zip(expected, got, strict=True)):
        apart = difference(one, other)
        if not apart <= tolerance:
            allowed = f", and {tolerance:g} is allowed" if tolerance else ""
            broken(f"Chunk {index} of {who} differs by {apart:.2g}{allowed}.", right, change)


def differ(one: Video, other: Video, what: str, right: str, change: str) -> None:
    """Fail where two videos are the same bit for bit."""
    __tracebackhide__ = True
    if all(torch.equal(first, second) for first, second in zip(one, other, strict=True)):
        broken(what, right, change)
