"""The profiler: how long each part of a chunk takes where it runs, without making anything wait."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from flashdreams.engine.clocks import Clock, Stamp
from flashdreams.infra.pipeline.base import StreamInferencePipeline
from flashdreams.infra.pipeline.execution import Execution, Stage, Warming
from flashdreams.infra.pipeline.rollout import Rollout
from flashdreams.infra.pipeline.slots import Slot

KEPT = 50_000
"""Spans that are kept, the newest: about 8,000 chunks."""


@dataclass(frozen=True)
class Span:
    """One part of one chunk."""

    name: str
    """What was done: a stage, "prepare" before the first, or "generate" and "finalize" around them."""
    lane: str
    """"work", or "aside" for what may overlap it."""
    chunk: int
    """Index of the chunk; -1 before the first."""
    path: str
    """How the chunk was computed, as ``rollout.path`` has it."""
    start: float
    """When it began on the device, in seconds from the profiler's beginning."""
    seconds: float
    """How long the device took, from its beginning to its end."""
    host_start: float
    """When the host began to queue it, in seconds from the profiler's beginning."""
    host_seconds: float
    """How long the host took to queue it; on a CPU, to run it."""


@dataclass(frozen=True)
class _Open:
    """A span whose end the device may not have reached yet."""

    name: str
    lane: str
    chunk: int
    path: str
    began: Stamp
    ended: Stamp
    host_start: float
    host_seconds: float


class Profiler:
    """Collects spans. Those that are done are read when a chunk is final; the host waits for none."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.spans: deque[Span] = deque(maxlen=KEPT)
        self.memory: deque[tuple[float, int]] = deque(maxlen=KEPT)
        """Moments on the host in seconds, and bytes held then."""
        self.chunk, self.path = -1, ""
        self._waiting: deque[_Open] = deque()
        self._began = time.perf_counter()

    @contextmanager
    def span(self, name: str, lane: str = "work") -> Iterator[None]:
        """Time what is run inside, on the lane where it is run."""
        chunk, path, host_start = self.chunk, self.path, self._host_now()
        with self.clock.labelled(name):
            began = self.clock.now()
            try:
                yield
            finally:
                ended = self.clock.now()
                taken = self._host_now() - host_start
                self._waiting.append(_Open(name, lane, chunk, path, began, ended, host_start, taken))

    def drain(self, *, wait: bool = False) -> None:
        """Read the spans that are done; with ``wait`` all of them."""
        waiting, self._waiting = self._waiting, deque()
        for span in waiting:
            if wait:
                self.clock.wait_for(span.ended)
            if self.clock.has_come(span.ended):
                self.spans.append(self._read(span))
            else:
                self._waiting.append(span)

    def note_memory(self) -> None:
        """Keep how much memory is in use now."""
        self.memory.append((self._host_now(), self.clock.bytes_held()))

    def _read(self, span: _Open) -> Span:
        return Span(
            span.name,
            span.lane,
            span.chunk,
            span.path,
            start=self.clock.seconds(span.began),
            seconds=self.clock.between(span.began, span.ended),
            host_start=span.host_start,
            host_seconds=span.host_seconds,
        )

    def _host_now(self) -> float:
        return time.perf_counter() - self._began


class ProfiledExecution(Execution):
    """Has ``inner`` do everything, and times it."""

    def __init__(self, inner: Execution, profiler: Profiler) -> None:
        self.inner = inner
        self.profiler = profiler
        self._next = "begin"
        self._lane = "work"
        self._preparing = ExitStack()

    @property
    def needs_warm_up(self) -> bool:
        """As ``inner`` says."""
        return self.inner.needs_warm_up

    @property
    def goes_on(self) -> str:
        """As ``inner`` says."""
        return self.inner.goes_on

    def begin_chunk(self, rollout: Rollout, index: int) -> str:
        """A chunk begins: what follows is generating it."""
        profiler = self.profiler
        profiler.chunk, profiler.path = index, self.inner.begin_chunk(rollout, index)
        self._next = "generate"
        return profiler.path

    @contextmanager
    def work(self, given: Any = None, *, after_all: bool = False) -> Iterator[None]:
        """Time a call of the pipeline, and in generate() what comes before its first stage."""
        name = self._next
        self._next = "finalize" if name == "generate" else "begin"
        with self.inner.work(given, after_all=after_all), self.profiler.span(name):
            if name == "generate":
                self._preparing.enter_context(self.profiler.span("prepare"))
            with self._preparing:
                yield

    def run(self, stage: Stage, slot: Slot) -> Tensor | None:
        """Time a stage."""
        self._preparing.close()
        with self.profiler.span(stage.name, self._lane):
            return self.inner.run(stage, slot)

    @contextmanager
    def aside(self) -> Iterator[None]:
        """Know that stages run aside."""
        self._preparing.close()
        with self.inner.aside():
            before, self._lane = self._lane, "aside"
            try:
                yield
            finally:
                self._lane = before

    def chunk_final(self, rollout: Rollout, index: int) -> None:
        """Between chunks: read what is done."""
        self._next = "begin"
        self.inner.chunk_final(rollout, index)
        self.profiler.drain()
        self.profiler.note_memory()

    def rollout_closed(self, rollout: Rollout) -> None:
        """As ``inner`` does."""
        self.inner.rollout_closed(rollout)

    def rejoin(self) -> None:
        """As ``inner`` does."""
        self.inner.rejoin()

    def catch_up(self, results: Any = None) -> None:
        """As ``inner`` does."""
        self.inner.catch_up(results)

    def warm_up(self, pipeline: StreamInferencePipeline, given: Warming) -> list[Any]:
        """As ``inner`` does; what it takes is no part of any chunk."""
        profiler = self.profiler
        profiler.drain(wait=True)
        spans = list(profiler.spans)
        made = self.inner.warm_up(pipeline, given)
        profiler.drain(wait=True)
        profiler.spans.clear()
        profiler.spans.extend(spans)
        profiler.chunk, profiler.path = -1, ""
        return made

    def forget(self) -> None:
        """As ``inner`` does."""
        self.inner.forget()
