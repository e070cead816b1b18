"""Clients that connect, vanish, stall, flood, send garbage, and otherwise behave as the world does."""

from __future__ import annotations

import asyncio
import itertools
import json
import random
import socket
import struct
from collections.abc import Awaitable, Callable
from typing import Any

import garbage
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus
from wire import HELLO, Wire

from flashdreams.client.http import Address
from flashdreams.errors import ServerError
from flashdreams_serve.bench.rtc_session import RtcSession

PATIENCE = 20.0
"""Seconds in which every message of ours is answered, or the connection closed."""


FAR_TOO_LARGE = 100_000
"""Bytes of a message that the server closes upon unread; TCP's reset for what is unread may overtake the word
why, and the client sees 1006."""


class Abuser:
    """One bad client, which does one thing after another."""

    def __init__(self, wire: Wire, seed: int) -> None:
        self._wire = wire
        self._ledger = wire.ledger
        self._draw = random.Random(seed)
        self._goes_on = True
        self._marks = itertools.count(1)
        self._acts: tuple[tuple[Callable[[], Awaitable[None]], int], ...] = (
            (self.vanish, 4),
            (self.stall, 2),
            (self.flood, 2),
            (self.send_garbage, 5),
            (self.send_no_messages, 2),
            (self.send_huge, 1),
            (self.ask_wrongly, 5),
            (self.offer_wrongly, 2),
            (self.open_and_close, 2),
            (self.give_orders, 4),
            (self.take_over, 2),
            (self.watch_by_webrtc, 1),
            (self.knock_wrongly, 2),
            (self.break_off, 2),
        )

    def stop(self) -> None:
        """Do no more than what is being done."""
        self._goes_on = False

    async def run(self) -> None:
        """Go on until stopped."""
        acts, weights = zip(*self._acts, strict=True)
        while self._goes_on:
            (act,) = self._draw.choices(acts, weights)
            self._ledger.acts[act.__name__] += 1
            try:
                await act()
            # The server closes connections of such clients, and refuses others; how, is entered elsewhere.
            except (OSError, ConnectionClosed, InvalidHandshake, ServerError):
                self._ledger.acts[f"{act.__name__}, cut short"] += 1
            await asyncio.sleep(self._draw.uniform(0.0, 0.2))

    async def vanish(self) -> None:
        """Drop the connection in the middle of the stream, without a word."""
        if (websocket := await self._stream("vanish")) is not None:
            await self._read(websocket, self._draw.uniform(0.0, 1.0))
            websocket.transport.abort()

    async def stall(self) -> None:
        """Read nothing for a while, then leave or vanish."""
        hello = {**HELLO, "codecs": ["rgb"]}
        if (websocket := await self._stream("stall", hello=hello, max_queue=1)) is None:
            return
        websocket.transport.pause_reading()
        await asyncio.sleep(self._draw.uniform(1.0, 4.0))
        websocket.transport.abort()

    async def flood(self) -> None:
        """Send far more than anybody may."""
        if (websocket := await self._stream("flood")) is None:
            return
        try:
            for seq in range(1, 600):
                await websocket.send(json.dumps(_control(seq, self._draw.uniform(-1, 1))))
            await self._read(websocket, 5.0)
        except ConnectionClosed:
            pass
        self._ledger.closing("flood", websocket.close_code)
        await websocket.close()

    async def send_garbage(self) -> None:
        """Send messages that are wrong in one thing or another: each is answered with a typed error."""
        if (websocket := await self._stream("garbage")) is None:
            return
        try:
            for _ in range(self._draw.randint(5, 30)):
                if self._draw.random() < 0.5:
                    await self._expect_error(websocket, self._draw.choice(garbage.BAD))
                else:
                    await self._converse(websocket, json.dumps(garbage.mutated(self._draw)))
                await asyncio.sleep(0.05)
        except ConnectionClosed:
            self._ledger.closing("garbage", websocket.close_code)
        finally:
            await websocket.close()

    async def send_no_messages(self) -> None:
        """Send what is no message at all."""
        if (websocket := await self._stream("no messages")) is None:
            return
        try:
            text: str | bytes = self._draw.choice(garbage.TEXTS)
            await self._converse(websocket, text if self._draw.random() < 0.7 else self._draw.randbytes(64))
        except ConnectionClosed:
            self._ledger.closing("no messages", websocket.close_code)
        finally:
            await websocket.close()

    async def send_huge(self) -> None:
        """Send a message that is too large, by little or by much."""
        if (websocket := await self._stream("huge")) is None:
            return
        size = self._draw.choice((65_000, 66_000, 200_000, 5_000_000))
        try:
            await self._converse(websocket, json.dumps({"type": "keep", "ask": 1, "name": "n" * size}))
        except ConnectionClosed:
            if size > FAR_TOO_LARGE and websocket.close_code == 1006:
                self._ledger.acts["send_huge, cut off"] += 1
            else:
                self._ledger.closing(f"huge, {size} bytes", websocket.close_code)
        finally:
            await websocket.close()

    async def ask_wrongly(self) -> None:
        """Send requests that are wrong."""
        body, kind = garbage.openings(self._draw)
        status, tree = await self._wire.ask("opening", "POST", "/v1/sessions", body, kind)
        if status in (201, 202):
            await self._wire.ask("opening", "DELETE", f"/v1/sessions/{tree['session']}")
        body, kind = garbage.images(self._draw)
        await self._wire.ask("image", "POST", "/v1/images", body, kind)
        for _ in range(3):
            method, path = self._draw.choice(garbage.METHODS), self._draw.choice(garbage.PATHS)
            await self._wire.ask("path", method, path, self._draw.choice((None, b"{}")))

    async def offer_wrongly(self) -> None:
        """Send WebRTC offers that are none."""
        session = await self._wire.open("offer")
        for _ in range(3 if session else 0):
            path = f"/v1/sessions/{session}/offer"
            await self._wire.ask("offer", "POST", path, garbage.offers(self._draw))
        if session and self._draw.random() < 0.5:
            await self._wire.ask("offer", "DELETE", f"/v1/sessions/{session}")

    async def open_and_close(self) -> None:
        """Open sessions and close them at once."""
        names = [await self._wire.open("open and close") for _ in range(self._draw.randint(1, 4))]
        for name in filter(None, names):
            await self._wire.ask("open and close", "DELETE", f"/v1/sessions/{name}")

    async def give_orders(self) -> None:
        """Give orders that are right, in any sequence."""
        if (websocket := await self._stream("orders")) is None:
            return
        try:
            for number in range(self._draw.randint(3, 12)):
                await self._converse(websocket, json.dumps(self._order(number)))
                await self._read(websocket, self._draw.uniform(0.0, 0.4))
        finally:
            await websocket.close()

    async def take_over(self) -> None:
        """Connect to a session again and again; the earlier connections end."""
        session = await self._wire.open("take over")
        if session is None:
            return
        sockets = [await self._wire.stream(session) for _ in range(self._draw.randint(2, 4))]
        await self._read(sockets[-1], 1.0)
        for websocket in sockets:
            await websocket.close()
        for websocket in sockets[:-1]:
            self._ledger.closing("take over", websocket.close_code)
        await self._wire.ask("take over", "DELETE", f"/v1/sessions/{session}")

    async def watch_by_webrtc(self) -> None:
        """Watch by WebRTC, and leave properly or not."""
        address = Address(f"http://{self._wire.host}:{self._wire.port}")
        session = await RtcSession.open(address, self._draw.randint(0, 99))
        try:
            async for _ in session.frames(limit=self._draw.randint(1, 20), timeout=10):
                await session.set(steer=self._draw.uniform(-1, 1))
        finally:
            if self._draw.random() < 0.5:
                await session.close()
            else:
                await session.leave()

    async def knock_wrongly(self) -> None:
        """Connect to a session that is none, or from a page that is foreign, or say nothing."""
        session, headers = "A" * 22, {}
        if self._draw.random() < 0.5:
            session, headers = await self._wire.open("knock") or session, {"Origin": "https://evil.example"}
        try:
            websocket = await self._wire.stream(session, hello=None, additional_headers=headers)
        except InvalidStatus as error:
            if error.response.status_code not in (401, 403, 404, 429):
                self._ledger.fault(f"knock: status {error.response.status_code}")
            return
        await self._read(websocket, 1.0)
        self._ledger.closing("knock", websocket.close_code, wanted=True)
        await websocket.close()

    async def break_off(self) -> None:
        """Begin a request, and reset the connection in the middle of it."""
        connection = await asyncio.to_thread(self._wire.socket)
        with connection:
            start = b"POST /v1/sessions HTTP/1.1\r\nHost: x\r\nContent-Length: 5000\r\n"
            connection.sendall(start[: self._draw.randint(0, len(start))] + self._draw.randbytes(20))
            await asyncio.sleep(self._draw.uniform(0.0, 0.3))
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    def _order(self, number: int) -> dict[str, Any]:
        kinds = ("control", "pause", "resume", "reset", "keep", "return", "fork", "save", "log", "report")
        kind, name = self._draw.choice(kinds), self._draw.choice("abcdef")
        more: dict[str, dict[str, Any]] = {
            "control": _control(number + 1, self._draw.uniform(-1, 1)),
            "reset": {"seed": self._draw.randint(0, 99)},
            "keep": {"name": name},
            "return": {"name": name},
            "save": {"seconds": self._draw.uniform(0.1, 5)},
            "report": {"latency_ms": [50.0]},
        }
        ask = {} if kind in ("control", "report") else {"ask": number}
        return {"type": kind, **ask, **more.get(kind, {})}

    async def _stream(self, act: str, **more: Any) -> ClientConnection | None:
        session = await self._wire.open(act, seed=self._draw.randint(0, 99))
        return None if session is None else await self._wire.stream(session, **more)

    async def _read(self, websocket: ClientConnection, seconds: float) -> None:
        """Read for a while."""
        try:
            async with asyncio.timeout(seconds):
                while True:
                    await websocket.recv()
        except (TimeoutError, ConnectionClosed):
            pass

    async def _converse(self, websocket: ClientConnection, text: str | bytes) -> int:
        """Send something and wait until the server has done with it. Returns how many errors it told."""
        mark = float(next(self._marks))
        await websocket.send(text)
        await websocket.send(json.dumps({"type": "ping", "sent_at": mark}))
        errors = 0
        try:
            async with asyncio.timeout(PATIENCE):
                while True:
                    message = await websocket.recv()
                    tree = json.loads(message) if isinstance(message, str) else {}
                    if tree.get("type") in ("error", "refused"):
                        self._ledger.error(f"message {text[:80]!r}", tree)
                        errors += 1
                    if tree.get("type") == "pong" and tree.get("sent_at") == mark:
                        return errors
        except TimeoutError:
            self._ledger.fault(f"no answer within {PATIENCE:g} s behind {text[:200]!r}")
            return errors

    async def _expect_error(self, websocket: ClientConnection, message: dict[str, Any]) -> None:
        text = json.dumps(message)
        # An order is answered when the dream has come to it, which may be behind the pong.
        if not await self._converse(websocket, text) and not await self._late_error(websocket):
            self._ledger.fault(f"no error for {text[:200]}")

    async def _late_error(self, websocket: ClientConnection) -> bool:
        try:
            async with asyncio.timeout(PATIENCE):
                while True:
                    message = await websocket.recv()
                    tree = json.loads(message) if isinstance(message, str) else {}
                    if tree.get("type") in ("error", "refused"):
                        self._ledger.error("late", tree)
                        return True
        except TimeoutError:
            return False


def _control(seq: int, steer: float) -> dict[str, Any]:
    return {"type": "control", "seq": seq, "values": {"steer": steer}, "sent_at": 0.0}
