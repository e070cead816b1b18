"""One headless client: presses keys, watches, and counts."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing, suppress
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol

from flashdreams.client import Frame
from flashdreams.errors import ServerTimeoutError
from flashdreams_serve.bench.presses import Latency, Presses

WARM_UP = 1.0
"""Seconds at the beginning that are not counted."""
PATIENCE = 10.0
"""Seconds without a frame after which a client gives up."""
UNDERRUN = 1.5
"""Frame periods after which a client that saw no new frame has run dry."""


class Driven(Protocol):
    """A session, whatever carries it."""

    @property
    def model(self) -> Mapping[str, Any]:
        """What is served."""

    @property
    def stats(self) -> Mapping[str, Any]:
        """What the server said last of its work."""

    async def set(self, **values: float | str) -> int:
        """Set controls."""

    def frames(self, limit: int | None = None, timeout: float | None = None) -> AsyncGenerator[Frame]:
        """The frames as they come."""

    async def close(self) -> None:
        """End it."""


@dataclass
class Drive:
    """What one client saw."""

    seconds: float = 0.0
    """How long it was counted."""
    frames: int = 0
    underruns: int = 0
    """Times at which it saw no new frame for more than :data:`UNDERRUN` frame periods."""
    longest_gap_ms: float = 0.0
    """Between two frames."""
    missed: int = 0
    """Chunks that the server began later than they should have been."""
    dropped: int = 0
    """Frames that were left out because the client was slow."""
    stale: int = 0
    """Frames that were left out because others obey later controls."""
    latencies: list[Latency] = field(default_factory=list)
    first_frame_at: float | None = None
    """When its first frame was decoded, of ``time.monotonic()``."""

    def as_dict(self) -> dict[str, Any]:
        """As plain values."""
        return asdict(self)


async def drive(session: Driven, seconds: float, seed: int) -> Drive:
    """Press keys for so many seconds and watch."""
    presses = Presses(session.model.get("steering", {}), seed)
    watching = _Watching(session, presses)
    pressing = asyncio.create_task(_press(session, presses))
    try:
        return await watching.watch(seconds)
    finally:
        pressing.cancel()
        with suppress(asyncio.CancelledError):
            await pressing


async def _press(session: Driven, presses: Presses) -> None:
    while True:
        await asyncio.sleep(presses.pause())
        if values := presses.next():
            at = time.monotonic()
            presses.pressed(await session.set(**values), at)


class _Watching:
    """Counts what comes."""

    def __init__(self, session: Driven, presses: Presses) -> None:
        self._session = session
        self._presses = presses
        self._drive = Drive()
        self._last_at: float | None = None
        self._longest = UNDERRUN / float(session.model.get("fps") or 16)

    async def watch(self, seconds: float) -> Drive:
        begin = time.monotonic() + WARM_UP
        end, before = begin + seconds, dict(self._session.stats)
        async with aclosing(self._session.frames(timeout=PATIENCE)) as frames:
            with suppress(ServerTimeoutError):
                async for frame in frames:
                    self._note_first(frame)
                    if frame.arrived_at >= end:
                        break
                    self._presses.seen(frame)
                    if frame.arrived_at < begin:
                        self._presses.latencies.clear()
                        before = dict(self._session.stats)
                    else:
                        self._count(frame)
        self._settle(seconds, before)
        return self._drive

    def _note_first(self, frame: Frame) -> None:
        if self._drive.first_frame_at is None:
            self._drive.first_frame_at = frame.arrived_at

    def _count(self, frame: Frame) -> None:
        drive = self._drive
        drive.frames += 1
        if self._last_at is not None:
            gap = frame.arrived_at - self._last_at
            drive.underruns += gap > self._longest
            drive.longest_gap_ms = max(drive.longest_gap_ms, 1e3 * gap)
        self._last_at = frame.arrived_at

    def _settle(self, seconds: float, before: Mapping[str, Any]) -> None:
        drive, now = self._drive, self._session.stats
        drive.seconds = seconds
        drive.latencies = self._presses.latencies
        for name in ("missed", "dropped", "stale"):
            setattr(drive, name, int(now.get(name) or 0) - int(before.get(name) or 0))
