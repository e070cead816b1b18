"""The soak: a real server among clients that behave badly in every way, and two that do not.

    python flashdreams-plugins/flashdreams-serve/tests/soak/run.py --minutes 20

It prints a report as JSON, and ends with 1 where something is wrong.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from abuse import Abuser
from decent import Known, Steady
from ledger import Ledger
from state import State, calm_state, state_of
from wire import Wire

from flashdreams.client import AsyncClient, Client
from flashdreams_serve.bench.server_process import ServerProcess, running_server

GRACE, DRAIN = 1.0, 8.0
SESSIONS = 6
ABUSERS = 5
CALM_PATIENCE = 20.0
"""Seconds within which a server has forgotten clients that left."""
SAMPLE = 5.0
"""Seconds between two looks at the server."""

MORE_MEMORY = 48
"""MiB by which the server may have grown between the two calm moments: what allocators keep, not what grows
with every session; in twenty minutes there are some thousand."""
MORE_THREADS = 8
"""Threads of pools of fixed size that were not full at the first calm moment."""
MORE_DESCRIPTORS = 4
"""Descriptors that are about to close."""
RESERVE = 15.0
"""Seconds that calm and the end take."""
CLOSING = 6.0
"""Seconds that a server may take to end beyond those in which its sessions do."""


class Soak:
    """One soak of a running server."""

    def __init__(self, server: ServerProcess, seed: int) -> None:
        self._server = server
        self._seed = seed
        self.ledger = Ledger()
        self._own = Wire(server.url, "127.0.0.1", self.ledger)
        self.steady, self.known = Steady(), Known()
        self.samples: list[State] = []

    async def run(self, seconds: float) -> dict[str, Any]:
        """Soak, and report. The first part of it warms up, a minute at most."""
        began = time.monotonic()
        _say("The server is alone with one client.")
        await self.known.learn(self._server.url)
        _say("Warming up, with clients of every kind.")
        async with self._abuse(), _running(self._sample()):
            await asyncio.sleep(min(60.0, seconds / 6))
        _say("Calm, to see what the server holds.")
        before = await self._calm()
        _say("Soaking.")
        watched = time.monotonic()
        async with self._decent(), self._abuse(), _running(self._sample()):
            await asyncio.sleep(max(5.0, seconds - RESERVE - (time.monotonic() - began)))
        watched = time.monotonic() - watched
        _say("Calm again.")
        after = await self._calm()
        _say("SIGTERM under load.")
        return {
            "before": before.as_dict(),
            "after": after.as_dict(),
            "most": {name: max(each.as_dict()[name] for each in self.samples) for name in before.as_dict()},
            "steady": self.steady.report(watched),
            "known": self.known.report(),
            "acts": dict(self.ledger.acts),
            "codes": dict(self.ledger.codes),
            "statuses": {str(k): v for k, v in sorted(self.ledger.statuses.items())},
            "closings": {str(k): v for k, v in sorted(self.ledger.closings.items())},
            "faults": [*self.ledger.faults, *self._leaks(before, after)],
            "end": await self._end_in_the_middle(),
        }

    @asynccontextmanager
    async def _abuse(self) -> AsyncIterator[None]:
        wires = [Wire(self._server.url, f"127.0.0.{10 + n}", self.ledger) for n in range(ABUSERS)]
        abusers = [Abuser(wire, self._seed + number) for number, wire in enumerate(wires)]
        async with asyncio.TaskGroup() as group:
            for abuser in abusers:
                group.create_task(abuser.run())
            try:
                yield
            finally:
                for abuser in abusers:
                    abuser.stop()

    @asynccontextmanager
    async def _decent(self) -> AsyncIterator[None]:
        async with _running(self.steady.run(self._server.url), self.known.run(self._server.url)):
            await asyncio.gather(self.steady.drives.wait(), self.known.began.wait())
            yield  # the others come when these two have their places

    async def _sample(self) -> None:
        while True:
            self.samples.append(await state_of(self._server.process.pid, self._own))
            await asyncio.sleep(SAMPLE)

    async def _calm(self) -> State:
        return await calm_state(self._server.process.pid, self._own, CALM_PATIENCE)

    def _leaks(self, before: State, after: State) -> list[str]:
        bounds = {
            "sessions": 0,
            "slots": 0,
            "threads": before.threads + MORE_THREADS,
            "descriptors": before.descriptors + MORE_DESCRIPTORS,
            "memory": before.memory + MORE_MEMORY,
        }
        found = {name: getattr(after, name) for name in bounds}
        return [
            f"{name}: {found[name]}, at most {most}" for name, most in bounds.items() if found[name] > most
        ]

    async def _end_in_the_middle(self) -> dict[str, Any]:
        """SIGTERM while people dream and others misbehave."""
        async with AsyncClient(self._server.url) as client, self._abuse():
            sessions = [await client.open(seed=number, timeout=30) for number in range(2)]
            for session in sessions:
                [_ async for _ in session.frames(limit=8, timeout=30)]
            began = time.monotonic()
            self._server.process.send_signal(signal.SIGTERM)
            code = await asyncio.to_thread(self._server.process.wait, 60)
            seconds = time.monotonic() - began
        reasons = [session.standing.reason for session in sessions]
        faults = [] if code == 0 else [f"exit code {code}"]
        faults += [] if seconds < DRAIN + CLOSING else [f"it took {seconds:.1f} s to end"]
        faults += [] if reasons == ["drained", "drained"] else [f"sessions ended {reasons}"]
        return {"code": code, "seconds": seconds, "faults": faults}


@asynccontextmanager
async def _running(*work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Work that goes on inside the block and is cancelled behind it; what fails ends the soak."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(each) for each in work]
        yield
        for task in tasks:
            task.cancel()


def _say(text: str) -> None:
    """Tell who waits how far it is."""
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


def videos(folder: Path) -> dict[str, Any]:
    """Whether every video that was left can be played."""
    import av

    broken, frames = [], 0
    paths = sorted(folder.rglob("*.mp4"))
    for path in paths:
        try:
            with av.open(str(path)) as container:
                count = sum(1 for _ in container.decode(video=0))
        except (av.FFmpegError, IndexError) as error:
            count, error_text = 0, str(error)
            broken.append(f"{path.name}: {error_text}")
        if count == 0:
            broken.append(f"{path.name} has no frames")
        frames += count
    return {"videos": len(paths), "frames": frames, "broken": broken}


def said(server: ServerProcess) -> dict[str, int]:
    """Errors that the server logged, and how often."""
    return dict(Counter(line for line in server.said if "ERROR" in line or "Error:" in line))


def soak(minutes: float, seed: int) -> dict[str, Any]:
    """Soak a server of pocket-racer, and report."""
    with tempfile.TemporaryDirectory() as name:
        words = ["pocket-racer", "--sessions", str(SESSIONS), "--grace", f"{GRACE:g}", "--idle", "30"]
        words += ["--drain", f"{DRAIN:g}", "--keep", "5", "--save-dir", name]
        with running_server(words) as server:
            with Client(server.url) as client:
                client.wait_ready()
            report = asyncio.run(Soak(server, seed).run(60 * minutes))
        report["saved"] = videos(Path(name))
        report["said"] = said(server)
    report["faults"] += report["end"]["faults"] + report["saved"]["broken"]
    report["faults"] += [] if report["saved"]["videos"] >= 2 else ["no video was saved at the end"]
    report["faults"] += [f"{each} differs" for each in report["known"]["differing"]]
    report["faults"] += [] if report["known"]["compared"] else ["no known video could be compared"]
    return report


def main() -> int:
    """Read the line, soak, print."""
    reader = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    reader.add_argument("--minutes", type=float, default=20.0, help="how long, 20 where it is not said")
    reader.add_argument("--seed", type=int, default=0, help="of what the clients do")
    wanted = reader.parse_args()
    report = soak(wanted.minutes, wanted.seed)
    print(json.dumps(report, indent=2))
    return 1 if report["faults"] else 0


if __name__ == "__main__":
    sys.exit(main())
