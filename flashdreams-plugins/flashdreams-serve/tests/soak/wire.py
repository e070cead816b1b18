"""The lowest way to a server: HTTP from an address of one's own, and WebSockets that may be mistreated."""

from __future__ import annotations

import asyncio
import http.client
import json
import socket
from typing import Any
from urllib.parse import urlsplit

from ledger import Ledger
from websockets.asyncio.client import ClientConnection, connect

HELLO = {"type": "hello", "version": 1, "codecs": ["jpeg"]}


class Wire:
    """A client with an address of its own: all of 127.0.0.0/8 is this machine."""

    def __init__(self, url: str, address: str, ledger: Ledger) -> None:
        parts = urlsplit(url)
        self.host, self.port = parts.hostname or "", parts.port or 80
        self.address = address
        self.ledger = ledger

    async def ask(
        self, act: str, method: str, path: str, body: bytes | None = None, kind: str = "application/json"
    ) -> tuple[int, Any]:
        """Send a request; its answer is entered in the ledger."""
        status, tree = await asyncio.to_thread(self._ask, method, path, body, kind)
        self.ledger.answer(f"{act} {method} {path[:60]}", status, tree)
        return status, tree

    async def open(self, act: str, **opening: Any) -> str | None:
        """The name of a new session; None where the server takes no more."""
        status, tree = await self.ask(act, "POST", "/v1/sessions", json.dumps(opening).encode())
        return str(tree["session"]) if status in (201, 202) else None

    async def stream(
        self, session: str, *, hello: dict[str, Any] | None = HELLO, **more: Any
    ) -> ClientConnection:
        """A WebSocket of a session, greeted unless ``hello`` is None."""
        websocket = await connect(
            f"ws://{self.host}:{self.port}/v1/sessions/{session}/stream",
            local_addr=(self.address, 0),
            compression=None,
            max_size=None,
            ping_interval=None,
            open_timeout=20,
            close_timeout=2,
            proxy=None,
            **more,
        )
        if hello is not None:
            await websocket.send(json.dumps(hello))
        return websocket

    def socket(self) -> socket.socket:
        """A bare connection."""
        return socket.create_connection((self.host, self.port), 10, source_address=(self.address, 0))

    def _ask(self, method: str, path: str, body: bytes | None, kind: str) -> tuple[int, Any]:
        connection = http.client.HTTPConnection(
            self.host, self.port, timeout=30, source_address=(self.address, 0)
        )
        try:
            headers = {"Content-Type": kind} if kind else {}
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            data = answer.read()
            is_json = "json" in answer.headers.get("Content-Type", "")
            return answer.status, json.loads(data) if is_json and data else data
        finally:
            connection.close()
