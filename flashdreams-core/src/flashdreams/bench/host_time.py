"""How long the host is busy outside of torch's operators: Python between two calls, and nothing else.

Both times come from one run, so a slow operator does not blur what lies between operators, as it would if a
bare loop were timed beside it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch.autograd.profiler import profile

from flashdreams.environment import exported


@dataclass(frozen=True)
class HostTime:
    """Where the time of one call went, in seconds."""

    wall: float
    """From beginning to end."""
    inside: float
    """In torch's operators; one that another operator calls is not counted again."""
    operators: int
    """Operators that were called from Python."""

    @property
    def outside(self) -> float:
        """Between operators: Python, the parsing of arguments, and the profiler's own work at each."""
        return self.wall - self.inside


def host_time(function: Callable[[], object]) -> HostTime:
    """Call ``function`` once under torch's profiler. On a GPU an operator ends when it has been launched."""
    with exported("KINETO_LOG_LEVEL", "99"), profile(use_cpu=True) as profiler:  # it logs to stderr
        began = time.perf_counter_ns()
        function()
        wall = time.perf_counter_ns() - began
    inside = operators = end = 0
    for start, duration in sorted(_spans(profiler), key=lambda span: (span[0], -span[1])):
        if start >= end:  # else it lies within another
            inside, operators, end = inside + duration, operators + 1, start + duration
    return HostTime(wall / 1e9, inside / 1e9, operators)


def _spans(profiler: Any) -> list[tuple[int, int]]:
    """Start and duration, in nanoseconds, of every operator that the profiled thread ran."""
    events = profiler.kineto_results.events()
    return [(e.start_ns(), e.duration_ns()) for e in events if e.device_type().name == "CPU"]
