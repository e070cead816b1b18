"""Measures a server: starts it where none is named, and a process with all clients."""

from __future__ import annotations

import datetime
import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from importlib import metadata
from typing import Any

from flashdreams.cli.console import counted
from flashdreams.client import Client
from flashdreams.errors import ServerError, UsageError
from flashdreams_serve.bench.crowd import Order
from flashdreams_serve.bench.figures import Figures, client_figures, spread_of
from flashdreams_serve.bench.server_process import running_server

DISTRIBUTIONS = ("flashdreams-core", "flashdreams-serve", "torch", "uvicorn", "websockets", "aiortc")


@dataclass(frozen=True)
class Served:
    """A server that is measured."""

    url: str
    began_at: float | None = None
    """When it was started, of ``time.monotonic()``; None for one that ran already."""
    ready_after: float | None = None
    """Seconds from then until it was ready."""


@contextmanager
def server_of(words: Sequence[str], clients: int) -> Iterator[Served]:
    """A server that holds just these clients, ended behind the block.

    Args:
        words: Of the line of ``flashdreams serve``, the slug first.
        clients: How many dream at once.

    Raises:
        ServerError: It does not start.
    """
    with tempfile.TemporaryDirectory() as folder:
        places = ["--sessions", str(clients), "--save-dir", folder]
        with running_server([*words, *places]) as server:
            ready_after = server.wait_ready()
            yield Served(server.url, server.began_at, ready_after)


def running_at(url: str, slug: str) -> Served:
    """A server that runs already.

    Raises:
        NoServerError: Nobody answers there.
        UsageError: It serves another slug.
    """
    with Client(url) as client:
        served = str(client.models()[0].get("slug"))
    if served != slug:
        raise UsageError(
            f"The server serves {served}, and {slug} was to be measured.",
            "The slug is the server's.",
            f"Write: flashdreams serve-bench {served} --server {url}",
        )
    return Served(url)


def measure(served: Served, order: Order, slug: str, command: str) -> Figures:
    """Let clients drive, and make figures of what they saw.

    Raises:
        ServerError: The clients fail; what they said is on stderr.
    """
    seen = _crowd(replace(order, url=served.url))
    model, drives = seen["model"], seen["drives"]
    key_to_pixel, stages = spread_of(drives)
    first = [each["first_frame_at"] for each in drives if each["first_frame_at"] is not None]
    return Figures(
        slug=slug,
        command=command,
        date=datetime.date.today().isoformat(),
        machine=_machine(),
        versions={name: metadata.version(name) for name in DISTRIBUTIONS},
        size={name: model[name] for name in ("width", "height", "fps")},
        transport=order.transport,
        codec=order.codec if order.transport == "websocket" else "",
        seconds=order.seconds,
        key_to_pixel=key_to_pixel,
        stages=stages,
        clients=client_figures(drives),
        opened=seen["opened_ms"],
        queue_answer=seen["queue_ms"],
        ready_after=served.ready_after,
        first_frame_after=min(first) - served.began_at if first and served.began_at is not None else None,
    )


def _crowd(order: Order) -> dict[str, Any]:
    line = [sys.executable, "-m", "flashdreams_serve.bench.crowd", json.dumps(asdict(order))]
    try:
        done = subprocess.run(line, stdout=subprocess.PIPE, text=True, timeout=order.patience)
    except subprocess.TimeoutExpired as error:
        raise _clients_failed("do not end") from error
    if done.returncode:
        raise _clients_failed(f"ended with exit code {done.returncode}")
    seen: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return seen


def _clients_failed(what: str) -> ServerError:
    return ServerError(
        f"The clients {what}.",
        "They drive, count and end.",
        "See what they said above, and whether the server has room for so many.",
        code="clients_failed",
    )


def _machine() -> str:
    """This machine in words: both sides run here, unless a server was named."""
    return f"{platform.machine()}, {counted(os.cpu_count() or 1, 'core')}"
