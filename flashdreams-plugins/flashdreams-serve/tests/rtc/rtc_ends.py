"""Both ends of a connection: a desk with a host behind it, and aiortc in a browser's part."""

from __future__ import annotations

import asyncio
import gc
import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from aiortc import RTCBundlePolicy, RTCConfiguration, RTCPeerConnection, RTCRtpReceiver, RTCSessionDescription

from flashdreams_serve.host.host import Host
from flashdreams_serve.host.orders import Close, Opening
from flashdreams_serve.host.session import Session
from flashdreams_serve.media.shelf import Shelf
from flashdreams_serve.settings import Limits, ServeSettings
from flashdreams_serve.web.metrics import Metrics
from flashdreams_serve.web.rates import Rates
from flashdreams_serve.web.rtc import RtcDesk
from flashdreams_serve.web.rtc_seams import listen_only_at
from flashdreams_serve.web.services import Services

HERE = ["127.0.0.1"]


class Desk:
    """A host with a desk in front of it, for one test."""

    def __init__(self, host: Host, folder: Path, address: str = "127.0.0.1") -> None:
        self.host = host
        metrics = Metrics()
        self.services = Services(
            host=host,
            settings=ServeSettings(host=address, limits=Limits(sessions=3)),
            shelf=Shelf(folder, 10**8),
            metrics=metrics,
            rates=Rates(1e6),
        )
        self.desk = self.services.rtc = RtcDesk(self.services)
        self.sessions: list[Session] = []

    def open(self) -> Session:
        self.sessions.append(self.host.open(Opening(seed=1), "test"))
        return self.sessions[-1]

    async def close(self) -> None:
        await self.desk.close_all()
        for session in self.sessions:
            if session.view().state != "ended":
                await asyncio.wrap_future(session.order(Close()))


class Client:
    """A browser's part, played by aiortc, which takes part at loopback only."""

    def __init__(
        self, *, codec: str | None = None, label: str = "control", addresses: Sequence[str] = HERE
    ) -> None:
        self.connection = RTCPeerConnection(
            RTCConfiguration(iceServers=[], bundlePolicy=RTCBundlePolicy.MAX_BUNDLE)
        )
        self.video = self.connection.addTransceiver("video", direction="recvonly")
        if codec is not None:
            codecs = RTCRtpReceiver.getCapabilities("video").codecs
            self.video.setCodecPreferences([each for each in codecs if each.mimeType == codec])
        listen_only_at(self.video.receiver.transport.transport.iceGatherer, addresses)
        self.channel = self.connection.createDataChannel(label)
        self.messages: list[dict[str, Any]] = []
        self.changed = asyncio.Event()
        self.channel.on("message", self._take)
        self.channel.on("close", self.changed.set)
        self.connection.on("connectionstatechange", self.changed.set)

    def _take(self, text: str) -> None:
        self.messages.append(json.loads(text))
        self.changed.set()

    async def offer(self) -> str:
        await self.connection.setLocalDescription(await self.connection.createOffer())
        return str(self.connection.localDescription.sdp)

    async def accept(self, answer: str) -> None:
        await self.connection.setRemoteDescription(RTCSessionDescription(answer, "answer"))

    async def connect(self, desk: Desk, session: Session, *, tag: bool = True) -> None:
        await self.accept(await desk.desk.answer(session, await self.offer()))
        opened = asyncio.Event()
        self.channel.on("open", opened.set)
        if self.channel.readyState != "open":
            await opened.wait()
        self.say(type="hello", version=1, tag=tag)
        await self.heard("welcome")

    def say(self, **message: Any) -> None:
        self.channel.send(json.dumps(message))

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [message for message in self.messages if message["type"] == kind]

    async def heard(self, kind: str, where: Callable[[dict[str, Any]], bool] = bool) -> dict[str, Any]:
        """Wait for a message."""
        while not (found := [message for message in self.of(kind) if where(message)]):
            self.changed.clear()
            await self.changed.wait()
        return found[0]

    async def gone(self) -> None:
        """Wait until the other side has closed."""
        while self.connection.connectionState not in ("closed", "failed"):
            self.changed.clear()
            await self.changed.wait()

    async def frame(self) -> np.ndarray[Any, Any]:
        picture = await self.video.receiver.track.recv()
        return picture.to_ndarray(format="rgb24")

    def vanish(self) -> None:
        """Say nothing any more, and hear nothing."""
        for protocol in self.video.receiver.transport.transport._connection._protocols:
            protocol.transport.abort()

    async def close(self) -> None:
        await self.connection.close()


async def nothing_left() -> None:
    """Wait until no task runs but this one."""
    for _ in range(100):
        if asyncio.all_tasks() == {asyncio.current_task()}:
            return
        await asyncio.sleep(0.02)
    raise AssertionError(f"Tasks are left: {asyncio.all_tasks()}")


def descriptors() -> int:
    gc.collect()
    return len(os.listdir("/proc/self/fd"))
