"""Several things that go on at once, until the first of them ends."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any


async def first_end(*parts: Coroutine[Any, Any, object]) -> None:
    """Run all until one ends, end the others, and raise what it raised."""
    tasks = [asyncio.create_task(part) for part in parts]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    for task in done:
        task.result()


async def raising(signal: asyncio.Event, error: Exception) -> None:
    """Wait for a signal, then raise.

    Raises:
        Exception: ``error``.
    """
    await signal.wait()
    raise error
