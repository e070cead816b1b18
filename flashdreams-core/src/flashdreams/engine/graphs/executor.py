"""Runs the stages of chunks from graphs: captured when first met, replayed ever after."""

from __future__ import annotations

import itertools
import logging
import time
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef

from flashdreams.engine.graphs.backend import Captured, GraphBackend
from flashdreams.engine.graphs.failures import no_capture, not_warmed
from flashdreams.engine.graphs.keys import GraphKey, difference, graph_key
from flashdreams.engine.graphs.tape import weakly
from flashdreams.infra import state_tree
from flashdreams.infra.pipeline.execution import Execution, Stage, Warming
from flashdreams.infra.pipeline.slots import Size, Slot

if TYPE_CHECKING:
    from flashdreams.infra.pipeline.base import StreamInferencePipeline
    from flashdreams.infra.pipeline.rollout import Rollout

Mode = Literal["auto", True, False]
"""Whether to use graphs: where they can be captured, always or with an error, never."""

_log = logging.getLogger(__name__)


@dataclass(eq=False)
class Graph:
    """A graph of a stage on a slot."""

    key: GraphKey
    captured: Captured
    result: Tensor | None
    """Where a replay leaves what the stage returns; None where it returns nothing."""
    held: list[StorageWeakRef]
    """Of the memory named in the key, so that the names are not given to other memory."""
    seconds: float
    """What it took to capture."""
    used: int
    """When it was replayed last, counted in replays of all graphs."""


@dataclass(frozen=True)
class Capture:
    """What is told of a graph."""

    stage: str
    size: Size
    """Batch size, height and width of the rollout."""
    kind: str
    """Which chunks it is for: the values on the host that decide which operators run."""
    bytes: int
    """Memory that is kept for what its operators make on the way."""
    seconds: float

    def __str__(self) -> str:
        batch, height, width = self.size
        size = f"{height}x{width}" if batch == 1 else f"{batch} of {height}x{width}"
        return f"{self.stage} {size} {self.kind}: {self.bytes / 2**20:.1f} MiB in {self.seconds:.2f} s"


@dataclass(eq=False)
class GraphExecution(Execution):
    """Replays a graph wherever one fits, and captures one where none does.

    A graph belongs to a slot, whose addresses are in it, and serves every rollout in that slot.
    """

    backend: GraphBackend
    mode: Mode = "auto"
    """What happens where a stage cannot be captured: "auto" runs it eagerly and says so, True raises."""
    limit: int = 256
    """Graphs that are kept; of more, those replayed longest ago are dropped."""
    strict: bool = False
    """Whether a capture after :meth:`seal` is an error, as in tests, and not a warning."""
    captures: list[Capture] = field(default_factory=list)
    """All captures so far, in order."""
    refused: dict[str, str] = field(default_factory=dict)
    """Stages that could not be captured, and why: they are run eagerly."""
    sealed: bool = False
    _graphs: weakref.WeakKeyDictionary[Slot, dict[GraphKey, Graph]] = field(
        default_factory=weakref.WeakKeyDictionary
    )
    _clock: Iterator[int] = field(default_factory=itertools.count)

    @property
    def needs_warm_up(self) -> bool:
        """Whether nothing is captured yet."""
        return self.mode is not False and not self.captures

    def begin_chunk(self, rollout: Rollout, index: int) -> str:
        """Chunk ``index`` is about to be generated; see the base class."""
        return "eager" if self.mode is False or self.refused.keys() & {"denoise", "flow"} else "graph"

    def run(self, stage: Stage, slot: Slot, variant: str = "") -> Tensor | None:
        """Run a stage from its graph, and return a copy of what it returns.

        Args:
            stage: What to run.
            slot: What it is run on.
            variant: Which code runs it now, compiled for instance: a graph of other code does not fit.

        Raises:
            GraphCaptureError: ``mode`` is True, and the stage cannot be captured.
            GraphFaultError: A stage was captured after the warm-up, and that is an error.
        """
        if self.mode is False or stage.name in self.refused:
            return stage.function(slot)
        if stage.in_passes is not None:
            stage.in_passes(slot, partial(self.run, variant=variant))
            return None
        graph = self._fitting(stage, slot, variant)
        if graph is None:
            return stage.function(slot)
        graph.used = next(self._clock)
        graph.captured.replay()
        return None if graph.result is None else graph.result.clone()

    def warm_up(self, pipeline: StreamInferencePipeline, given: Warming) -> list[Any]:
        """Capture all graphs that such rollouts will need, then :meth:`seal`; see the base class."""
        from flashdreams.engine.graphs.warmup import capture_all

        if self.mode is False:
            return []
        before = len(self.captures)
        self.sealed = False
        capture_all(pipeline, given, self)
        self.seal()
        return self.captures[before:]

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Run stages eagerly inside."""
        mode, self.mode = self.mode, False
        try:
            yield
        finally:
            self.mode = mode

    def seal(self) -> None:
        """Say that all graphs are there: from now on a capture is a mistake."""
        self.sealed = True

    def forget(self) -> None:
        """Drop all graphs; see the base class."""
        self._graphs.clear()
        self.refused.clear()
        self.sealed = False

    @property
    def count(self) -> int:
        """Graphs that are kept."""
        return sum(len(graphs) for graphs in self._graphs.values())

    @property
    def bytes(self) -> int:
        """Memory that the graphs keep for what they make on the way."""
        return sum(graph.captured.bytes for graphs in self._graphs.values() for graph in graphs.values())

    def _fitting(self, stage: Stage, slot: Slot, variant: str) -> Graph | None:
        """The graph of a stage on a slot, captured if need be; None where it cannot be."""
        graphs = self._graphs.setdefault(slot, {})
        graph = graphs.get(graph_key(stage, slot, variant))
        if graph is not None:
            return graph
        # What the stage allocates when it first runs changes its key: hence run first, then look again.
        result = self.backend.run_first(lambda: stage.function(slot))
        key = graph_key(stage, slot, variant)
        if key not in graphs:
            self._check_expected(stage, slot, key)
            try:
                graphs[key] = self._capture(stage, slot, key, result)
            except Exception as error:
                self._refuse(stage, error)
                return None
            self._make_room(graphs[key])
        return graphs[key]

    def _refuse(self, stage: Stage, error: Exception) -> None:
        """Run a stage eagerly from now on, or raise."""
        failure = no_capture(stage.name, error, self.backend.memory())
        if self.mode is True:
            raise failure from error
        self.refused[stage.name] = failure.what
        _log.warning("%s", failure)

    def _capture(self, stage: Stage, slot: Slot, key: GraphKey, result: Tensor | None) -> Graph:
        place = None if result is None else torch.empty_like(result)
        own = weakref.ref(slot)

        def work() -> None:
            here = own()
            made = None if here is None else stage.function(here)
            if place is not None and made is not None:
                place.copy_(made)

        began = time.monotonic()
        captured = self.backend.capture(work, pool="overlapping" if stage.overlaps else "in turn")
        seconds = time.monotonic() - began
        self.captures.append(Capture(stage.name, slot.size, key.kind, captured.bytes, seconds))
        _log.info("Captured %s in %.2f s, %.1f MiB.", stage.name, seconds, captured.bytes / 2**20)
        held = [weakly(t.untyped_storage()) for t in state_tree.tensors(stage.memory(slot))]
        return Graph(key, captured, place, held, seconds, next(self._clock))

    def _check_expected(self, stage: Stage, slot: Slot, key: GraphKey) -> None:
        if not self.sealed:
            return
        known = [old for old in self._graphs.get(slot, {}) if old.stage == stage.name]
        fault = not_warmed(stage.name, difference(known[-1], key) if known else "the slot has none yet")
        if self.strict:
            raise fault
        _log.warning("%s", fault)

    def _make_room(self, newest: Graph) -> None:
        while self.count > self.limit:
            oldest = min(
                (
                    graph
                    for graphs in self._graphs.values()
                    for graph in graphs.values()
                    if graph is not newest
                ),
                key=lambda graph: graph.used,
            )
            for graphs in self._graphs.values():
                if graphs.get(oldest.key) is oldest:
                    del graphs[oldest.key]
