"""A rollout without values: each kind of pass is run once on ``meta`` by the real code, and measured."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from flashdreams.errors import FlashDreamsError
from flashdreams.infra.pipeline.base import StreamInferencePipeline
from flashdreams.infra.pipeline.slots import Slot
from flashdreams.plan.figures import PassName, Unplanned
from flashdreams.plan.held import bytes_of
from flashdreams.plan.meter import Meter, Reading

Given = Mapping[str, Any]
"""Arguments of ``initialize_cache``."""


class Rehearsal:
    """Runs a skeleton through what a rollout runs, and keeps the readings.

    A pass that cannot run without values is noted in ``unplanned``, and so is what needs its result.

    Args:
        pipeline: A pipeline on ``meta``.
        batch_size: Videos side by side.
        height: Pixels.
        width: Pixels.
        chunks: Chunks that the run makes.
    """

    slot: Slot
    """What the rollout holds, on ``meta``."""
    frames: list[int]
    """Pixel frames of each chunk that was rehearsed."""

    def __init__(
        self, pipeline: StreamInferencePipeline, batch_size: int, height: int, width: int, chunks: int
    ) -> None:
        self.readings: dict[PassName, list[Reading]] = {}
        self.unplanned: list[Unplanned] = []
        self.frames = []
        self._pipeline = pipeline
        self._size = (batch_size, height, width)
        self._chunks = chunks
        self._meter = Meter()
        self.shown: Tensor | None = None

    @torch.no_grad()
    def run(self, given: list[Given], indices: list[int], brief: bool = False) -> None:
        """Begin with the first of ``given`` that can be encoded, then make the chunks of ``indices``.

        Args:
            given: Conditions to try.
            indices: Chunks to rehearse.
            brief: Whether to leave out what says more of the work than of the memory: all but the decoder
                in chunks before the last, and the pass that writes keys and values, which takes what a
                denoising step takes.

        Raises:
            FlashDreamsError: The pipeline refuses the size.
        """
        with self._meter:
            self.slot = self._begin(given)
            for index in indices:
                latents = self.slot.noise[0]
                if not brief or index == indices[-1]:
                    latents = self._denoise(index)
                self._decode(latents)
                if not brief:
                    self._finalize(latents)
                for buffer in (self.slot.encoder, self.slot.decoder):
                    buffer.commit()

    def reached(self, name: PassName) -> list[Reading]:
        """The readings of a pass that the run itself comes to."""
        return self.readings[name][: 1 if self._chunks == 1 else None]

    def _begin(self, given: list[Given]) -> Slot:
        batch_size, height, width = self._size
        size = {"batch_size": batch_size, "height": height, "width": width}
        reasons = []
        for conditions in given:
            try:
                with self._reading("context"):
                    return self._pipeline.initialize_cache(**{**conditions, **size, "seed": 0}).slot
            except Exception as error:
                reasons.append(_reason(error))
        slot = self._pipeline.slots.lease(self._size)
        self.unplanned += [Unplanned("context", reason) for reason in reasons[-1:]]
        return slot

    def _denoise(self, index: int) -> Tensor:
        slot, transformer = self.slot, self._pipeline.diffusion_model.transformer
        with self._noting("control"), self._reading("control"):
            control = self._pipeline.stages.encode(slot, None)
            slot.control = transformer.take_control(slot.transformer, index, control)
        with self._noting("step"):
            transformer.begin_chunk(slot.transformer, index)
            with self._reading("step") as reading:
                latents = self._step()
            reading.carried = _carried(slot) + 2 * bytes_of(latents)
            return latents
        return slot.noise[0]

    def _decode(self, latents: Tensor) -> None:
        with self._noting("decode"):
            with self._reading("decode") as reading:
                pixels = self._pipeline.stages.run_decode(self.slot)
            reading.carried = bytes_of(latents, pixels) + 2 * bytes_of(self.slot.decoder.staged)
            self.frames.append(pixels.shape[2] if self._pipeline.decoder else 0)
            self.shown = pixels

    def _finalize(self, latents: Tensor) -> None:
        model, cache = self._pipeline.diffusion_model, self.slot.transformer
        with self._noting("finalize"):
            with self._reading("finalize") as reading:
                model.write_context(latents, cache, self.slot.control)
            reading.carried = _carried(self.slot) + bytes_of(latents)
            model.transformer.remember_chunk(latents, cache)

    def _step(self) -> Tensor:
        model, slot = self._pipeline.diffusion_model, self.slot
        draws, scheduler = slot.noise.unbind(0), model.scheduler
        timestep = scheduler.timesteps[:1]
        flow = model.predict_flow(draws[0], timestep, slot.transformer, slot.control)
        return scheduler.step(0, flow, draws[0], draws, scheduler.start())

    @contextmanager
    def _reading(self, name: PassName) -> Iterator[Reading]:
        with self._meter.reading() as reading:
            yield reading
        self.readings.setdefault(name, []).append(reading)

    @contextmanager
    def _noting(self, name: PassName) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            if name not in [each.part for each in self.unplanned]:
                self.unplanned.append(Unplanned(name, _reason(error)))


def _carried(slot: Slot) -> int:
    """Bytes of the rollout's memory that a pass of the transformer reads and writes.

    Keys and values in sight are read, those of the chunk itself written before; the rest is read once.
    """
    cache = slot.transformer
    past = cache.past
    if past is None:
        return bytes_of(cache)
    rest = bytes_of(cache) - bytes_of(past)
    room, written = past.keys.shape[2], past.write_index.numel()
    memory = bytes_of(past.keys, past.values, past.key_scales, past.value_scales)
    return rest + memory * (past.filled + written) // room


def _reason(error: Exception) -> str:
    if isinstance(error, FlashDreamsError):
        return error.what
    return " ".join(f"{type(error).__name__}: {error}".split())[:200]
