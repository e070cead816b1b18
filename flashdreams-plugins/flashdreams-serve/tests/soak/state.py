"""What a server holds: memory, threads, descriptors, sessions and slots."""

from __future__ import annotations

import asyncio
import re
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from wire import Wire


@dataclass(frozen=True)
class State:
    """At one moment."""

    memory: int
    """Resident, in MiB."""
    threads: int
    descriptors: int
    sessions: int
    slots: int

    def as_dict(self) -> dict[str, int]:
        """As plain values."""
        return asdict(self)


async def state_of(pid: int, wire: Wire) -> State:
    """The state of a server, as the system and the server itself say it."""
    _, sessions = await wire.ask("state", "GET", "/v1/sessions")
    _, metrics = await wire.ask("state", "GET", "/metrics", kind="")
    status = Path(f"/proc/{pid}/status").read_text()
    return State(
        memory=_number(r"VmRSS:\s+(\d+)", status) // 1024,
        threads=_number(r"Threads:\s+(\d+)", status),
        descriptors=len(list(Path(f"/proc/{pid}/fd").iterdir())),
        sessions=len(sessions["sessions"]),
        slots=_number(r"(?m)^flashdreams_slots_used (\d+)", metrics.decode()),
    )


async def calm_state(pid: int, wire: Wire, patience: float) -> State:
    """The state once no session is left, or when patience ends; then connections are given a moment."""
    end = time.monotonic() + patience
    while (await state_of(pid, wire)).sessions and time.monotonic() < end:
        await asyncio.sleep(0.3)
    await asyncio.sleep(1.5)
    return await state_of(pid, wire)


def _number(pattern: str, text: str) -> int:
    found = re.search(pattern, text)
    if found is None:
        raise LookupError(pattern)
    return int(found.group(1))
