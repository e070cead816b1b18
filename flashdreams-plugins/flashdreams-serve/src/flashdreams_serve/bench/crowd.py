"""All clients of a measurement, in a process of their own: ``python -m flashdreams_serve.bench.crowd``.

It takes an order as JSON on the command line and prints what was seen as JSON.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from dataclasses import asdict, dataclass
from typing import Any

from flashdreams import environment
from flashdreams.client import AsyncClient
from flashdreams.client.http import Address, ask
from flashdreams.errors import FlashDreamsError
from flashdreams_serve.bench.driving import WARM_UP, Drive, Driven, drive
from flashdreams_serve.bench.rtc_session import RtcSession

PROBES = 5
"""Times at which a further client knocks."""
HOLD = 64
"""Frames that a client keeps until it has looked at them: it looks at all."""


@dataclass(frozen=True)
class Order:
    """What is measured."""

    url: str
    clients: int
    seconds: float
    transport: str = "websocket"
    codec: str = "jpeg"
    seed: int = 0
    knock: bool = True
    """Whether the server is full with these clients, so that further ones are turned to the queue."""

    @property
    def patience(self) -> float:
        """Seconds after which the process has surely gone wrong."""
        return self.seconds + 120.0


@dataclass(frozen=True)
class Seen:
    """What was seen. Times of the clock are of ``time.monotonic()``."""

    model: dict[str, Any]
    drives: list[dict[str, Any]]
    opened_ms: list[float]
    """From asking for a session until it dreams, of each client."""
    queue_ms: list[float]
    """From knocking at the full server to its answer."""


async def measure(order: Order) -> Seen:
    """Let all clients drive at once."""
    address = Address(order.url, environment.token())
    async with AsyncClient(order.url) as client:
        await client.wait_ready()
        sessions, opened = [], []
        for number in range(order.clients):
            began = time.monotonic()
            sessions.append(await _open(order, client, address, order.seed + number))
            opened.append(1e3 * (time.monotonic() - began))
        try:
            drives, queue = await asyncio.gather(_drives(order, sessions), _knocks(order, address))
        finally:
            await asyncio.gather(*(session.close() for session in sessions))
    return Seen(dict(sessions[0].model), [each.as_dict() for each in drives], opened, queue)


async def _open(order: Order, client: AsyncClient, address: Address, seed: int) -> Driven:
    if order.transport == "webrtc":
        return await RtcSession.open(address, seed)
    return await client.open(seed=seed, codec=order.codec, hold=HOLD, timeout=0)  # type: ignore[arg-type]


async def _drives(order: Order, sessions: list[Driven]) -> list[Drive]:
    driving = (drive(each, order.seconds, order.seed + number) for number, each in enumerate(sessions))
    return list(await asyncio.gather(*driving))


async def _knocks(order: Order, address: Address) -> list[float]:
    """Knock at the full server now and then, and go away again."""
    times: list[float] = []
    await asyncio.sleep(WARM_UP)
    for _ in range(PROBES if order.knock else 0):
        await asyncio.sleep(order.seconds / (PROBES + 1))
        began = time.monotonic()
        answer = await asyncio.to_thread(ask, address, "POST", "/v1/sessions", {})
        times.append(1e3 * (time.monotonic() - began))
        await asyncio.to_thread(ask, address, "DELETE", f"/v1/sessions/{answer['session']}")
    return times


def main() -> int:
    """Measure what the line says."""
    order = Order(**json.loads(sys.argv[1]))
    try:
        seen = asyncio.run(measure(order))
    except FlashDreamsError as error:
        print(error, file=sys.stderr)
        return 2
    print(json.dumps(asdict(seen)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
