"""The engine: lanes, compiled regions and graphs, put together as one way to run the stages of chunks.

What a chunk computes is decided by whether it is compiled. Lanes, graphs and lines change when and from where
operators are called, never which.
"""

from __future__ import annotations

import logging
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from flashdreams.engine.ahead import Ahead
from flashdreams.engine.compile.execution import COMPILED, EAGER, CompiledExecution
from flashdreams.engine.graphs.executor import GraphExecution
from flashdreams.engine.hooks import HookWatch
from flashdreams.engine.lines.execution import StraightLines
from flashdreams.errors import NoFreeSlotError
from flashdreams.infra.pipeline.execution import Execution, Stage, Warming
from flashdreams.infra.pipeline.slots import Slot

if TYPE_CHECKING:
    from flashdreams.infra.pipeline.base import StreamInferencePipeline
    from flashdreams.infra.pipeline.rollout import Rollout

LOG = logging.getLogger(__name__)
GRAPH, COMPILED_GRAPH = "graph", "compiled graph"


class Engine(Execution):
    """Runs stages on lanes, compiled where they can be, from graphs where there are any.

    Args:
        lanes: Where operators queue.
        graphs: Captures and replays stages; None where the device has none, or none are wanted.
        compiled: Chooses compiled code; None where none is wanted.
        lines: Repeats the calls of stages that are not compiled, on a device without graphs.
        hooks: Knows whether somebody watches the modules, which are called then whatever it costs.
        starts_at_once: Whether a rollout starts without waiting for any of it (``hot_swap``): its graphs are
            captured in a scratch slot between its chunks, once its code is compiled.
    """

    def __init__(
        self,
        lanes: Execution,
        graphs: GraphExecution | None = None,
        compiled: CompiledExecution | None = None,
        lines: StraightLines | None = None,
        hooks: HookWatch | None = None,
        *,
        starts_at_once: bool = False,
    ) -> None:
        self.lanes, self.graphs, self.compiled, self.lines = lanes, graphs, compiled, lines
        self._hooks = hooks
        self._watched: WeakKeyDictionary[Slot, bool] = WeakKeyDictionary()
        self._starts_at_once = starts_at_once
        self._is_warming = False
        self._replays: WeakKeyDictionary[Slot, bool] = WeakKeyDictionary()
        self._captured: WeakKeyDictionary[Slot, str] = WeakKeyDictionary()
        self._ahead: WeakKeyDictionary[Rollout, Ahead] = WeakKeyDictionary()

    @property
    def needs_warm_up(self) -> bool:
        """Whether there are graphs to capture."""
        return self.graphs is not None and self.graphs.needs_warm_up

    @property
    def goes_on(self) -> str:
        """Whether code is still being compiled."""
        return "" if self.compiled is None else self.compiled.goes_on

    def begin_chunk(self, rollout: Rollout, index: int) -> str:
        """Choose the path of the chunk."""
        watched = self._hooks is not None and self._hooks.is_watching
        self._watched[rollout.slot] = watched
        if watched:
            return EAGER
        path = EAGER if self.compiled is None else self.compiled.begin_chunk(rollout, index)
        if self.graphs is None:
            return path
        replays = not self._starts_at_once or self._has_graphs(rollout, index, path)
        self._replays[rollout.slot] = replays
        if not replays or self.graphs.begin_chunk(rollout, index) != GRAPH:
            return path
        return COMPILED_GRAPH if path == COMPILED else GRAPH

    def run(self, stage: Stage, slot: Slot) -> Tensor | None:
        """Run a stage on the path of the slot's chunk."""
        if self._watched.get(slot, False):
            with nullcontext() if self.compiled is None else self.compiled.paused():
                return stage.function(slot)
        if self.compiled is None:
            return self._replayed(stage, slot)
        with self.compiled.on_path_of(slot) as is_compiled:
            return self._replayed(stage, slot, is_compiled)

    def chunk_final(self, rollout: Rollout, index: int) -> None:
        """Between chunks: capture one more stage for a rollout that started at once."""
        slot = rollout.slot
        if self.compiled is not None and not self.compiled.has_hope:  # compiling failed within the chunk
            rollout.path = {COMPILED: EAGER, COMPILED_GRAPH: GRAPH}.get(rollout.path, rollout.path)
        if self.graphs is None or self._replays.get(slot, True) or not self._is_settled(rollout):
            return
        ahead = self._ahead.get(rollout) or self._begin_ahead(rollout)
        if ahead is None or ahead.is_done:
            return
        try:
            ahead.advance(rollout)
        except torch.OutOfMemoryError as error:  # of the capture: the chunk is final
            self.rollout_closed(rollout)
            self._capture_as_met(rollout, error)

    def rollout_closed(self, rollout: Rollout) -> None:
        """Leave off capturing for it."""
        ahead = self._ahead.pop(rollout, None)
        if ahead is not None:
            ahead.drop()

    def work(self, given: Any = None, *, after_all: bool = False) -> AbstractContextManager[None]:
        """As the lanes do."""
        return self.lanes.work(given, after_all=after_all)

    def aside(self) -> AbstractContextManager[None]:
        """As the lanes do."""
        return self.lanes.aside()

    def rejoin(self) -> None:
        """As the lanes do."""
        self.lanes.rejoin()

    def catch_up(self, results: Any = None) -> None:
        """As the lanes do."""
        self.lanes.catch_up(results)

    def warm_up(self, pipeline: StreamInferencePipeline, given: Warming) -> list[Any]:
        """Compile first, then capture what was compiled."""
        made = [] if self.compiled is None else self.compiled.warm_up(pipeline, given)
        if self.graphs is None:
            return made
        self._is_warming = True
        try:
            return made + self.graphs.warm_up(pipeline, given)
        finally:
            self._is_warming = False

    def forget(self) -> None:
        """Drop all that knows addresses."""
        for ahead in list(self._ahead.values()):
            ahead.drop()
        for known in (self._ahead, self._replays, self._captured, self._watched):
            known.clear()
        for part in (self.lanes, self.graphs, self.compiled, self.lines):
            if part is not None:
                part.forget()

    def _replayed(self, stage: Stage, slot: Slot, is_compiled: bool = False) -> Tensor | None:
        """Run a stage from its graph or as a line, where there is one."""
        if self.graphs is not None and (self._is_warming or self._replays.get(slot, False)):
            variant = COMPILED if is_compiled else EAGER
            if self._is_warming:
                self._captured[slot] = variant
            return self.graphs.run(stage, slot, variant)
        if self.lines is not None and (not is_compiled or stage.name == "decode"):  # which is never compiled
            return self.lines.run(stage, slot)
        return stage.function(slot)

    def _is_settled(self, rollout: Rollout) -> bool:
        """Whether the code that runs will run from now on, so that it may be captured; a batch runs none."""
        if self.compiled is None or not self.compiled.has_hope:
            return rollout.path == EAGER
        return rollout.path == COMPILED

    def _begin_ahead(self, rollout: Rollout) -> Ahead | None:
        """Begin to capture beside a rollout; where there is no room, it captures whatever it meets itself."""
        try:
            ahead = self._ahead[rollout] = Ahead(rollout)
        except (NoFreeSlotError, torch.OutOfMemoryError) as error:
            self._capture_as_met(rollout, error)
            return None
        scratch = ahead.scratch.slot
        self._replays[scratch], self._captured[scratch] = True, rollout.path
        if self.compiled is not None:
            self.compiled.follow(scratch, rollout.slot)
        return ahead

    def _capture_as_met(self, rollout: Rollout, error: Exception) -> None:
        LOG.info("Graphs are captured as they are met, for want of a second slot: %s", error)
        self._captured[rollout.slot] = rollout.path

    def _has_graphs(self, rollout: Rollout, index: int, path: str) -> bool:
        """Whether a rollout that started at once replays graphs from this chunk on."""
        if self._captured.get(rollout.slot) == path:
            return True
        ahead = self._ahead.get(rollout)
        if ahead is None or not ahead.is_done:
            return False
        if self._captured.get(ahead.scratch.slot) != path:  # they were made of other code
            self.rollout_closed(rollout)
            return False
        ahead.move(rollout)
        del self._ahead[rollout]
        LOG.info("Graphs take over at chunk %d.", index)
        return True
