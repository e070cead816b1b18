"""A session by WebRTC, headless: the pixels come as video, all else by the data channel."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncGenerator, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from flashdreams.client import Frame
from flashdreams.client.http import Address, ask
from flashdreams.client.messages import VERSION, frame_of
from flashdreams.client.state import late
from flashdreams.errors import ServerRefusedError
from flashdreams_serve.media.tag import NUMBERS, read_tag, strip_height

if TYPE_CHECKING:
    from aiortc import MediaStreamTrack, RTCDataChannel, RTCPeerConnection

PATIENCE = 20.0
"""Seconds until the connection stands, or is given up."""
HEADERS = 256
"""Headers that wait for their pixels."""


class RtcSession:
    """A session by WebRTC. Made by :meth:`open`."""

    def __init__(self, address: Address, id: str) -> None:
        self._address = address
        self._path = f"/v1/sessions/{id}"
        self._seq = 0
        self._headers: dict[int, Mapping[str, Any]] = {}
        self._frames: asyncio.Queue[Frame] = asyncio.Queue()
        self._welcomed = asyncio.Event()
        self._peer: RTCPeerConnection | None = None
        self._channel: RTCDataChannel | None = None
        self._watching: asyncio.Task[None] | None = None
        self.model: Mapping[str, Any] = {}
        self.stats: Mapping[str, Any] = {}

    @classmethod
    async def open(cls, address: Address, seed: int) -> RtcSession:
        """Open a session and connect to it.

        Raises:
            ServerError: The server says no, or nothing comes.
        """
        answer = await asyncio.to_thread(ask, address, "POST", "/v1/sessions", {"seed": seed})
        session = cls(address, str(answer["session"]))
        try:
            await session._connect()
            async with asyncio.timeout(PATIENCE):
                await session._welcomed.wait()
        except TimeoutError as error:
            await session.close()
            raise late(PATIENCE) from error
        except BaseException:
            await session.close()
            raise
        return session

    async def set(self, **values: float | str) -> int:
        """Set controls, and return the number of this."""
        self._seq += 1
        self._send({"type": "control", "seq": self._seq, "values": values, "sent_at": time.monotonic()})
        return self._seq

    async def frames(self, limit: int | None = None, timeout: float | None = None) -> AsyncGenerator[Frame]:
        """The frames whose numbers could be read, as they come.

        Raises:
            ServerTimeoutError: None came in time.
        """
        taken = 0
        while limit is None or taken < limit:
            try:
                async with asyncio.timeout(timeout):
                    frame = await self._frames.get()
            except TimeoutError as error:
                raise late(timeout or 0.0) from error
            taken += 1
            yield frame

    async def close(self) -> None:
        """End it. Nothing happens where it is over already."""
        await self.leave()
        with suppress(ServerRefusedError):
            await asyncio.to_thread(ask, self._address, "DELETE", self._path)

    async def leave(self) -> None:
        """Hang up and leave the session to itself."""
        if self._watching is not None:
            self._watching.cancel()
        if self._peer is not None:
            await self._peer.close()

    def _send(self, message: Mapping[str, Any]) -> None:
        if self._channel is not None:
            self._channel.send(json.dumps(message))

    async def _connect(self) -> None:
        from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription

        peer = self._peer = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        channel = self._channel = peer.createDataChannel("control")
        channel.on("open", self._greet)
        channel.on("message", self._hear)
        peer.on("track", self._watch)
        peer.addTransceiver("video", direction="recvonly")
        await peer.setLocalDescription(await peer.createOffer())
        offer = {"type": "offer", "sdp": peer.localDescription.sdp}
        answer = await asyncio.to_thread(ask, self._address, "POST", f"{self._path}/offer", offer)
        await peer.setRemoteDescription(RTCSessionDescription(answer["sdp"], answer["type"]))

    def _greet(self) -> None:
        self._send({"type": "hello", "version": VERSION, "tag": True})

    def _hear(self, text: str) -> None:
        message = json.loads(text)
        match message["type"]:
            case "welcome":
                self.model = message["model"]
                self._welcomed.set()
            case "stats":
                self.stats = message
            case "frame":
                self._headers[message["frame"] % NUMBERS] = message
                if len(self._headers) > HEADERS:
                    del self._headers[next(iter(self._headers))]

    def _watch(self, track: MediaStreamTrack) -> None:
        self._watching = asyncio.create_task(self._take(track))

    async def _take(self, track: MediaStreamTrack) -> None:
        from aiortc import MediaStreamError

        while True:
            try:
                picture: Any = await track.recv()
            except MediaStreamError:
                return
            pixels = picture.to_ndarray(format="rgb24")
            number = read_tag(pixels)
            header = self._headers.pop(number, None) if number is not None else None
            if header is not None:
                shown = pixels[: -strip_height(pixels.shape[1])]
                self._frames.put_nowait(frame_of(header, shown, time.monotonic()))
