"""Two clients that behave, beside all the others."""

from __future__ import annotations

import asyncio
import hashlib
import time
from contextlib import aclosing, suppress
from dataclasses import dataclass, field
from typing import Any

from flashdreams.client import AsyncClient, AsyncSession, Frame
from flashdreams_serve.bench.figures import quantiles
from flashdreams_serve.bench.presses import Presses

SEED = 7
LENGTH = 20
"""Frames of a known video."""
STEERED = 10
"""Chunks after which the known video is steered."""
Digests = dict[int, str]


@dataclass
class Steady:
    """A client that drives all the time."""

    frames: int = 0
    longest_gap: float = 0.0
    latencies: list[float] = field(default_factory=list)
    drives: asyncio.Event = field(default_factory=asyncio.Event)
    """Set once it has a session."""

    async def run(self, url: str) -> None:
        """Drive until cancelled."""
        async with AsyncClient(url) as client, await client.open(seed=1, hold=64) as session:
            self.drives.set()
            presses = Presses(session.model["steering"], seed=1)
            pressing = asyncio.create_task(_press(session, presses))
            try:
                await self._watch(session, presses)
            finally:
                pressing.cancel()
                with suppress(asyncio.CancelledError):
                    await pressing

    async def _watch(self, session: AsyncSession, presses: Presses) -> None:
        last = time.monotonic()
        async with aclosing(session.frames(timeout=30)) as frames:
            async for frame in frames:
                self.frames += 1
                self.longest_gap = max(self.longest_gap, frame.arrived_at - last)
                last = frame.arrived_at
                presses.seen(frame)
                self.latencies = [each.total for each in presses.latencies]

    def report(self, seconds: float) -> dict[str, Any]:
        """What it saw in so many seconds."""
        spread = quantiles(self.latencies)
        return {
            "frames": self.frames,
            "frames_per_second": self.frames / seconds,
            "longest_gap_s": self.longest_gap,
            "key_to_pixel_ms": spread and {"p50": spread.p50, "p95": spread.p95, "times": spread.times},
        }


async def _press(session: AsyncSession, presses: Presses) -> None:
    while True:
        await asyncio.sleep(presses.pause())
        at = time.monotonic()
        presses.pressed(await session.set(**presses.next()), at)


@dataclass
class Known:
    """Known videos, made again and again, each time to be the same."""

    log: dict[str, Any] = field(default_factory=dict)
    fresh: Digests = field(default_factory=dict)
    """Of a session that begins with a seed."""
    steered: Digests = field(default_factory=dict)
    """Of one that goes on behind a control log."""
    began: asyncio.Event = field(default_factory=asyncio.Event)
    """Set once it has a session beside the others."""
    sessions: int = 0
    compared: int = 0
    differing: list[str] = field(default_factory=list)

    async def learn(self, url: str) -> None:
        """Make the videos while nobody else is there."""
        async with AsyncClient(url) as client:
            async with await client.open(seed=SEED, codec="rgb", hold=100) as session:
                self.fresh = await _digests(session)
                await session.wait_receipt(await session.set(steer=0.5))
                [_ async for _ in session.frames(limit=STEERED)]
                await session.pause()
                self.log = await session.log()
            async with await client.open(log=self.log, codec="rgb", hold=100) as session:
                self.steered = await _digests(session)

    async def run(self, url: str) -> None:
        """Make them again until cancelled."""
        async with AsyncClient(url) as client:
            while True:
                for known, opening in ((self.fresh, {"seed": SEED}), (self.steered, {"log": self.log})):
                    async with await client.open(**opening, codec="png", hold=100) as session:
                        self.began.set()
                        self._compare(known, await _digests(session))

    def _compare(self, known: Digests, again: Digests) -> None:
        both = known.keys() & again.keys()
        self.sessions += 1
        self.compared += len(both)
        self.differing += [f"chunk {chunk}" for chunk in sorted(both) if known[chunk] != again[chunk]]

    def report(self) -> dict[str, Any]:
        """What was compared."""
        return {"sessions": self.sessions, "compared": self.compared, "differing": self.differing[:10]}


async def _digests(session: AsyncSession) -> Digests:
    frames: list[Frame] = [frame async for frame in session.frames(limit=LENGTH, timeout=60)]
    return {frame.chunk: hashlib.sha256(frame.pixels.tobytes()).hexdigest() for frame in frames}
