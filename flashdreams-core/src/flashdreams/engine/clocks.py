"""Clocks for the profiler: the host's own, and that of a card, which is read without waiting for it."""

from __future__ import annotations

import time
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Protocol

import torch

from flashdreams.io.memory import most_resident_memory, resident_memory

Stamp = Any
"""A moment of a clock."""


class Clock(Protocol):
    """Takes the time where operators run. Seconds count from when the clock was made."""

    def now(self) -> Stamp:
        """The moment when all that was queued here so far is done."""
        ...

    def has_come(self, stamp: Stamp) -> bool:
        """Whether the moment has come."""
        ...

    def wait_for(self, stamp: Stamp) -> None:
        """Let the host wait until it has."""
        ...

    def seconds(self, stamp: Stamp) -> float:
        """When it was, in seconds."""
        ...

    def between(self, earlier: Stamp, later: Stamp) -> float:
        """Seconds from one moment to another."""
        ...

    def bytes_held(self) -> int:
        """Bytes of memory in use now."""
        ...

    def most_bytes_held(self) -> int:
        """The most bytes of memory that were in use so far."""
        ...

    def labelled(self, name: str) -> AbstractContextManager[Any]:
        """Inside, other profilers of the device show ``name``."""
        ...


class HostClock:
    """The host's clock, for a CPU: what is queued is done when the call returns."""

    def __init__(self) -> None:
        self._start = time.perf_counter()

    def now(self) -> float:
        """Seconds since the start."""
        return time.perf_counter() - self._start

    def has_come(self, stamp: float) -> bool:
        """Always."""
        return True

    def wait_for(self, stamp: float) -> None:
        """Nothing is to be waited for."""

    def seconds(self, stamp: float) -> float:
        """The stamp itself."""
        return stamp

    def between(self, earlier: float, later: float) -> float:
        """The difference."""
        return later - earlier

    def bytes_held(self) -> int:
        """The process's resident memory; 0 where the system does not tell."""
        return resident_memory() or 0

    def most_bytes_held(self) -> int:
        """The most that it was; 0 where the system does not tell."""
        return most_resident_memory() or 0

    def labelled(self, name: str) -> AbstractContextManager[Any]:
        """Nothing else looks."""
        return nullcontext()


class CudaClock:
    """A card's clock: an event in the current stream for each moment. Ranges are shown by NVTX."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._start = self.now()
        self._start.synchronize()

    def now(self) -> torch.cuda.Event:
        """An event behind what is queued in the current stream."""
        event = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
        event.record(torch.cuda.current_stream(self._device))
        return event

    def has_come(self, stamp: torch.cuda.Event) -> bool:
        """Ask the driver, without waiting."""
        return bool(stamp.query())  # type: ignore[no-untyped-call]

    def wait_for(self, stamp: torch.cuda.Event) -> None:
        """Wait for the event."""
        stamp.synchronize()

    def seconds(self, stamp: torch.cuda.Event) -> float:
        """As the card measures it, in float32: to 0.1 ms after 20 minutes."""
        return float(self._start.elapsed_time(stamp)) / 1000

    def between(self, earlier: torch.cuda.Event, later: torch.cuda.Event) -> float:
        """As the card measures it, to about a microsecond."""
        return float(earlier.elapsed_time(later)) / 1000

    def bytes_held(self) -> int:
        """What tensors hold, without what torch keeps for later."""
        return torch.cuda.memory_allocated(self._device)

    def most_bytes_held(self) -> int:
        """The most that tensors have held at once."""
        return torch.cuda.max_memory_allocated(self._device)

    def labelled(self, name: str) -> AbstractContextManager[Any]:
        """An NVTX range."""
        return torch.cuda.nvtx.range(name)


def clock_of(device: torch.device) -> Clock:
    """The clock of a device; the host's where it has none that can be read."""
    return CudaClock(device) if device.type == "cuda" else HostClock()
