"""The WebSocket, through a real server and a real client."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import logging
import socket
import struct
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import pytest
import uvicorn
from PIL import Image
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from flashdreams.plugins.registry import installed_registry
from flashdreams_serve.host.host import Host
from flashdreams_serve.media.shelf import Shelf
from flashdreams_serve.media.tag import read_tag
from flashdreams_serve.settings import Limits, ServeSettings
from flashdreams_serve.web import socket as web_socket
from flashdreams_serve.web.app import make_app
from flashdreams_serve.web.metrics import Metrics

HELLO = {"type": "hello", "version": 1, "codecs": ["rgb"]}
NOBODY = "x" * 22
TOKEN = "correct-horse-battery"


class Server:
    """An application behind uvicorn on a free port, in a thread."""

    def __init__(self, folder: Path, settings: ServeSettings, *, send_buffer: int = 0) -> None:
        self.metrics = Metrics()
        config = installed_registry().runner_config("pocket-racer")
        self.host = Host(config, settings, observer=self.metrics)
        self.app = make_app(self.host, settings, shelf=Shelf(folder, 10**8), metrics=self.metrics)
        self.socket = socket.create_server(("127.0.0.1", 0))
        if send_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, send_buffer)
        self.address = f"127.0.0.1:{self.socket.getsockname()[1]}"
        size = settings.limits.message_bytes + 1000
        self._server = uvicorn.Server(uvicorn.Config(self.app, log_config=None, ws_max_size=size))
        self._thread = threading.Thread(target=self._server.run, args=([self.socket],), daemon=True)

    def __enter__(self) -> Server:
        self.host.start()
        self._thread.start()
        assert self.host.wait_ready(60)
        while not self._server.started:
            time.sleep(0.01)
        return self

    def __exit__(self, *error: object) -> None:
        self._server.should_exit = True
        self.host.stop()
        self._thread.join(20)

    def open(self, **opening: Any) -> str:
        answer = httpx2.post(f"http://{self.address}/v1/sessions", json=opening)
        return str(answer.raise_for_status().json()["session"])

    def connect(self, session: str, **about: Any) -> connect:
        return connect(f"ws://{self.address}/v1/sessions/{session}/stream", proxy=None, **about)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    limits = Limits(sessions=3, message_bytes=5000, requests_per_second=1e6, sessions_per_client=100)
    settings = ServeSettings(webrtc=False, limits=limits)
    with Server(tmp_path_factory.mktemp("saved"), settings, send_buffer=8192) as server:
        yield server


@pytest.fixture
def session(server: Server) -> Iterator[str]:
    name = server.open(seed=2)
    yield name
    httpx2.delete(f"http://{server.address}/v1/sessions/{name}")


async def greeted(socket: ClientConnection, **hello: Any) -> dict[str, Any]:
    await socket.send(json.dumps({**HELLO, **hello}))
    return await message_of(socket, "welcome")


async def message_of(socket: ClientConnection, kind: str) -> dict[str, Any]:
    """The next message of a kind."""
    async with asyncio.timeout(20):
        while True:
            received = await socket.recv()
            if isinstance(received, str) and (message := json.loads(received))["type"] == kind:
                return dict(message)


async def frame_of(socket: ClientConnection) -> tuple[dict[str, Any], bytes]:
    """The next frame: its header and its data."""
    async with asyncio.timeout(20):
        while isinstance(received := await socket.recv(), str):
            pass
    (size,) = struct.unpack(">I", received[:4])
    return json.loads(received[4 : 4 + size]), received[4 + size :]


async def closing_of(socket: ClientConnection) -> int:
    """How the server closes it."""
    async with asyncio.timeout(30):
        with contextlib.suppress(ConnectionClosed):
            async for _ in socket:
                pass
        await socket.wait_closed()
    return socket.close_code or 1006


def test_frames_come_with_their_headers(server: Server, session: str) -> None:
    async def run() -> None:
        async with server.connect(session, subprotocols=["flashdreams.v1"]) as socket:
            assert socket.subprotocol == "flashdreams.v1"
            welcome = await greeted(socket)
            assert (welcome["codec"], welcome["session"], welcome["seed"]) == ("rgb", session, 2)
            frames = [await frame_of(socket) for _ in range(5)]
        numbers = [header["frame"] for header, _ in frames]
        assert numbers == sorted(set(numbers))
        for header, data in frames:
            assert (header["height"], header["width"], header["key"]) == (64, 64, True)
            assert len(data) == 64 * 64 * 3
            assert header["made_ms"] > 0
            assert header["encoded_ms"] >= 0

    asyncio.run(run())


@pytest.mark.parametrize("codec", ["jpeg", "png"])
def test_pictures_carry_their_number_where_asked_for(server: Server, session: str, codec: str) -> None:
    async def run() -> None:
        async with server.connect(session) as socket:
            welcome = await greeted(socket, codecs=[codec], tag=True)
            assert (welcome["codec"], welcome["tag"]) == (codec, True)
            header, data = await frame_of(socket)
        pixels = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
        assert pixels.shape == (header["height"], header["width"], 3) == (66, 64, 3)
        assert read_tag(pixels) == header["frame"]

    asyncio.run(run())


def test_a_control_is_obeyed(server: Server, session: str) -> None:
    async def run() -> None:
        async with server.connect(session) as socket:
            await greeted(socket)
            await frame_of(socket)
            control = {"type": "control", "seq": 4, "values": {"steer": -0.5}, "sent_at": 77.5}
            await socket.send(json.dumps(control))
            receipt = await message_of(socket, "receipt")
            header, _ = await frame_of(socket)
            while header["seq"] < 4:
                header, _ = await frame_of(socket)
            assert (header["seq"], header["sent_at"]) == (4, 77.5)
            assert receipt["seq"] == 4
            assert header["chunk"] >= receipt["chunk"]
            assert (await message_of(socket, "stats"))["fps"] > 0

    asyncio.run(run())


def test_another_connection_takes_the_place_of_the_first(server: Server, session: str) -> None:
    async def run() -> None:
        async with server.connect(session) as first:
            await greeted(first)
            await frame_of(first)
            async with server.connect(session) as second:
                assert await closing_of(first) == 1000
                await greeted(second)
                await frame_of(second)

    asyncio.run(run())


def test_a_client_that_was_lost_comes_back_to_the_same(server: Server, session: str) -> None:
    async def run() -> None:
        async with server.connect(session) as socket:
            await greeted(socket)
            before, _ = await frame_of(socket)
            socket.transport.abort()
        async with server.connect(session) as socket:
            welcome = await greeted(socket)
            after, _ = await frame_of(socket)
        assert welcome["session"] == session
        assert after["frame"] > before["frame"]

    asyncio.run(run())


def test_the_connection_ends_with_its_session(server: Server) -> None:
    async def run() -> None:
        async with server.connect(server.open()) as socket:
            await greeted(socket)
            await socket.send(json.dumps({"type": "close", "ask": 1}))
            standing = await message_of(socket, "standing")
            while standing["state"] != "ended":
                standing = await message_of(socket, "standing")
            assert standing["reason"] == "closed"
            assert await closing_of(socket) == 1000

    asyncio.run(run())


@pytest.mark.parametrize(
    ("sent", "code"),
    [("nonsense", 4400), ("[]", 4400), (b"\0\1", 4400), ("x" * 5500, 4409), ("x" * 50_000, 1009)],
)
def test_what_is_no_message_ends_the_connection_and_not_the_session(
    server: Server, session: str, sent: str | bytes, code: int
) -> None:
    async def run() -> None:
        async with server.connect(session) as socket:
            await greeted(socket)
            await socket.send(sent)
            assert await closing_of(socket) == code
        async with server.connect(session) as socket:
            await greeted(socket)
            await frame_of(socket)

    asyncio.run(run())


def test_a_flood_ends_the_connection(server: Server, session: str) -> None:
    async def run() -> None:
        async def flood(socket: ClientConnection) -> None:
            with contextlib.suppress(ConnectionClosed):
                for _ in range(100_000):
                    await socket.send('{"type": "ping"}')

        async with server.connect(session) as socket:
            await greeted(socket)
            flooding = asyncio.create_task(flood(socket))
            assert await closing_of(socket) == 4429
            await flooding

    asyncio.run(run())


def test_who_does_not_say_hello_is_shown_out(
    server: Server, session: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(web_socket, "HELLO_SECONDS", 0.2)

    async def run() -> None:
        async with server.connect(session) as socket:
            assert await closing_of(socket) == 4408

    asyncio.run(run())


def test_who_does_not_read_delays_nobody_and_is_taken_for_dead(
    server: Server, session: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(web_socket, "SENDING_SECONDS", 1.0)
    stalled = server.open()

    async def run() -> None:
        raw = socket.socket()
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        raw.setblocking(False)
        await asyncio.get_running_loop().sock_connect(raw, server.socket.getsockname())
        async with server.connect(session) as reading, server.connect(stalled, sock=raw, max_queue=1) as dead:
            await greeted(dead)
            dead.transport.pause_reading()
            await greeted(reading)
            async with asyncio.timeout(30):
                while server.host.session(stalled).view().state != "detached":
                    header, _ = await frame_of(reading)
            assert header["dropped"] == 0
            dead.transport.abort()

    asyncio.run(run())
    httpx2.delete(f"http://{server.address}/v1/sessions/{stalled}")


def test_there_must_be_such_a_session(server: Server) -> None:
    async def run() -> None:
        with pytest.raises(Exception, match="404"):
            await server.connect(NOBODY)

    asyncio.run(run())


def test_nothing_that_is_logged_names_a_session(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        name = server.open()

        async def run() -> None:
            async with server.connect(name) as socket:
                await greeted(socket)
                await frame_of(socket)
                await socket.send("nonsense")
                await closing_of(socket)

        asyncio.run(run())
        httpx2.delete(f"http://{server.address}/v1/sessions/{name}")
    ours = [record.getMessage() for record in caplog.records if record.name.startswith("flashdreams")]
    assert not any(name in line for line in ours)


def test_the_token_opens_as_subprotocol_and_is_not_said_back(tmp_path: Path) -> None:
    settings = ServeSettings(webrtc=False, token=TOKEN)
    with Server(tmp_path, settings) as server:
        headers = {"authorization": f"Bearer {TOKEN}"}
        answer = httpx2.post(f"http://{server.address}/v1/sessions", headers=headers)
        name = answer.json()["session"]

        async def run() -> None:
            with pytest.raises(Exception, match="401"):
                await server.connect(name)
            offered: Any = [f"bearer.{TOKEN}", "flashdreams.v1"]
            async with server.connect(name, subprotocols=offered) as socket:
                assert socket.subprotocol == "flashdreams.v1"
                await greeted(socket)
                await frame_of(socket)
                await asyncio.to_thread(server.host.drain, 5.0)
                assert await closing_of(socket) == 1001

        asyncio.run(run())
