"""Runs stages of chunks as straight lines of calls.

A stage is recorded twice before its line is trusted. Where the two lines differ, or a value is read on the
host, the stage goes on being run as it is written.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

from torch import Tensor

from flashdreams.engine.graphs.keys import GraphKey, graph_key
from flashdreams.engine.lines.recording import Line, record
from flashdreams.infra.pipeline.execution import Execution, Stage
from flashdreams.infra.pipeline.slots import Slot

ResultT = TypeVar("ResultT")

_log = logging.getLogger(__name__)


class LineBackend:
    """Captures for a CPU: see :class:`flashdreams.engine.graphs.backend.GraphBackend`.

    A replay takes memory from torch's allocator and gives it back, as the stage itself does.
    """

    def run_first(self, function: Callable[[], ResultT]) -> ResultT:
        """Run a function as it is."""
        return function()

    def capture(self, function: Callable[[], None], pool: str) -> CapturedLine:
        """Record a function twice, which runs it twice.

        Raises:
            RuntimeError: What it calls is not the same both times, or depends on values.
        """
        first, second = record(function)[1], record(function)[1]
        reason = second.unfit or (None if second.is_like(first) else second.difference(first))
        if reason is not None:
            raise RuntimeError(f"It cannot be replayed as a straight line of calls: {reason}.")
        return CapturedLine(second.function())

    def memory(self) -> str:
        """Nothing is kept, so memory is no reason for a failure."""
        return "a straight line keeps no memory"


@dataclass(frozen=True)
class CapturedLine:
    """A line, ready to run again."""

    replay: Callable[[], None]
    """Make all its calls."""
    bytes: int = 0
    """Memory that is kept: none."""


class StraightLines(Execution):
    """Runs a stage as a straight line of calls once it has come three times; until then, as it is written.

    What computes is the same, bit for bit. A stage that comes for the first time costs nothing more; the
    second and the third time it is recorded. Meant for a CPU, and for what is not compiled.
    """

    def __init__(self, limit: int = 64) -> None:
        self.limit = limit
        """Lines that are kept; of more, those used longest ago are dropped."""
        self.refused: dict[str, str] = {}
        """Stages that are run as they are written, and why."""
        self._known: WeakKeyDictionary[Slot, OrderedDict[GraphKey, _Meeting]] = WeakKeyDictionary()

    def run(self, stage: Stage, slot: Slot) -> Tensor | None:
        """Run one stage on a slot, and return what it returns."""
        if stage.name in self.refused:
            return stage.function(slot)
        known = self._known.setdefault(slot, OrderedDict())
        key = graph_key(stage, slot)
        meeting = known.setdefault(key, _Meeting())
        known.move_to_end(key)
        while len(known) > self.limit:
            known.popitem(last=False)
        return self._met(meeting, stage, slot)

    def forget(self) -> None:
        """Drop all lines: they know addresses."""
        self._known.clear()
        self.refused.clear()

    @property
    def count(self) -> int:
        """Lines that are in use."""
        return sum(m.replay is not None for known in self._known.values() for m in known.values())

    def _met(self, meeting: _Meeting, stage: Stage, slot: Slot) -> Tensor | None:
        if meeting.replay is not None:
            replayed: Tensor | None = meeting.replay()
            return replayed
        if not meeting.is_known:
            meeting.is_known = True
            return stage.function(slot)
        before = meeting.line
        result, line = record(lambda: stage.function(slot))
        meeting.line = line
        reason = line.unfit or (before is not None and not line.is_like(before) and line.difference(before))
        if reason:
            self.refused[stage.name] = reason
            _log.info("%s is run as it is written: %s.", stage.name, reason)
        elif before is not None:
            meeting.replay, meeting.line = line.function(), None
        made: Tensor | None = result
        return made


@dataclass
class _Meeting:
    """What is known of a stage under one key."""

    is_known: bool = False
    line: Line | None = None
    """As it was recorded last, while it is not in use yet."""
    replay: Callable[[], Any] | None = None
