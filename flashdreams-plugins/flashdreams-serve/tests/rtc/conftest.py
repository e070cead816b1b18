"""What tests of WebRTC share: a host that dreams, and a desk in front of it on an event loop of its own."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from flashdreams_serve.host.host import Host
from flashdreams_serve.settings import Limits, ServeSettings

sys.path.insert(0, str(Path(__file__).parent))

from rtc_ends import Desk, nothing_left

SECONDS = 30.0
"""Longer than anything here takes."""


@pytest.fixture(scope="module")
def host(racing_host: Callable[..., AbstractContextManager[Host]]) -> Iterator[Host]:
    with racing_host(ServeSettings(limits=Limits(sessions=3))) as host:
        yield host


@pytest.fixture
def at_desk(host: Host, tmp_path: Path) -> Callable[[Callable[[Desk], Awaitable[None]]], None]:
    """Runs a test on an event loop of its own, and holds it to leave nothing behind."""

    def run(test: Callable[[Desk], Awaitable[None]]) -> None:
        async def whole() -> None:
            desk = Desk(host, tmp_path)
            try:
                async with asyncio.timeout(SECONDS):
                    await test(desk)
            finally:
                await desk.close()
            await nothing_left()

        asyncio.run(whole())

    return run
