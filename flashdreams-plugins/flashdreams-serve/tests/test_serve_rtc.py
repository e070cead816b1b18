"""Sessions over WebRTC: aiortc as the client, the desk, and a host that dreams, in one process."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import os
import socket
import threading
import weakref
from collections.abc import Awaitable, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from aiortc import (
    RTCBundlePolicy,
    RTCConfiguration,
    RTCPeerConnection,
    RTCRtpReceiver,
    RTCSessionDescription,
)

from flashdreams.plugins.registry import installed_registry
from flashdreams_serve.host.host import Host
from flashdreams_serve.host.orders import Close, Opening
from flashdreams_serve.host.session import Session
from flashdreams_serve.media.shelf import Shelf
from flashdreams_serve.media.tag import read_tag, strip_height
from flashdreams_serve.settings import IceServer, Limits, ServeSettings
from flashdreams_serve.web import rtc, rtc_channel, rtc_peer, rtc_video
from flashdreams_serve.web.mailbox import Mailbox
from flashdreams_serve.web.metrics import Metrics
from flashdreams_serve.web.problems import ProblemError
from flashdreams_serve.web.rates import Rates
from flashdreams_serve.web.rtc import RtcDesk
from flashdreams_serve.web.rtc_channel import ChannelGoneError, ControlChannel
from flashdreams_serve.web.rtc_offer import MOST_CANDIDATES, read_offer
from flashdreams_serve.web.rtc_peer import Peer
from flashdreams_serve.web.rtc_seams import addresses_of, check_listens_only_at, listen_only_at
from flashdreams_serve.web.rtc_terms import configuration
from flashdreams_serve.web.services import Services

HERE = ["127.0.0.1"]
SECONDS = 30.0
"""Longer than anything here takes."""


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


@pytest.fixture(scope="module")
def host() -> Iterator[Host]:
    settings = ServeSettings(limits=Limits(sessions=3))
    host = Host(installed_registry().runner_config("pocket-racer"), settings)
    host.start()
    assert host.wait_ready(60)
    yield host
    host.stop()


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


async def nothing_left() -> None:
    """Wait until no task runs but this one."""
    for _ in range(100):
        if asyncio.all_tasks() == {asyncio.current_task()}:
            return
        await asyncio.sleep(0.02)
    raise AssertionError(f"Tasks are left: {asyncio.all_tasks()}")


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


def test_frames_arrive_and_tags_join_their_headers(at_desk):
    async def test(desk: Desk) -> None:
        session, client = desk.open(), Client()
        await client.connect(desk, session)
        numbers = []
        for _ in range(20):
            pixels = await client.frame()
            assert pixels.shape == (384 + strip_height(384), 384, 3)
            assert pixels[:384].std() > 5
            numbers.append(read_tag(pixels))
        assert None not in numbers
        assert numbers == sorted({*numbers})
        headers = {header["frame"]: header for header in client.of("frame")}
        assert {*numbers} <= headers.keys()
        for number in numbers:
            assert (headers[number]["height"], headers[number]["width"]) == (396, 384)
            assert "encoded_ms" not in headers[number]
        assert client.of("welcome")[0]["codec"] == "h264"
        await client.close()

    at_desk(test)


def test_frames_come_without_a_tag_where_none_is_asked_for(at_desk):
    async def test(desk: Desk) -> None:
        client = Client()
        await client.connect(desk, desk.open(), tag=False)
        assert (await client.frame()).shape == (384, 384, 3)
        await client.close()

    at_desk(test)


def test_vp8_serves_whoever_has_no_h264(at_desk):
    async def test(desk: Desk) -> None:
        client = Client(codec="video/VP8")
        await client.connect(desk, desk.open())
        assert client.of("welcome")[0]["codec"] == "vp8"
        assert [read_tag(await client.frame()) is None for _ in range(8)] == [False] * 8
        await client.close()

    at_desk(test)


def test_a_control_takes_effect_and_its_frames_say_so(at_desk):
    async def test(desk: Desk) -> None:
        client = Client()
        await client.connect(desk, desk.open())
        await client.heard("frame")
        client.say(type="control", seq=7, values={"steer": -0.5}, sent_at=123.5)
        receipt = await client.heard("receipt")
        header = await client.heard("frame", lambda header: header["seq"] == 7)
        assert receipt["seq"] == 7
        assert header["chunk"] >= receipt["chunk"]
        assert header["sent_at"] == 123.5
        client.say(type="control", seq=8, values={"steer": "left"})
        assert (await client.heard("refused"))["code"] == "bad_control"
        client.say(type="pause", ask=3)
        assert (await client.heard("answer"))["ask"] == 3
        await client.close()

    at_desk(test)


def test_a_browser_that_asks_gets_a_key_frame(at_desk, monkeypatch):
    monkeypatch.setattr(rtc_video, "KEY_SECONDS", 3600.0)

    async def test(desk: Desk) -> None:
        client = Client()
        await client.connect(desk, desk.open())
        first = await client.heard("frame", lambda header: header["key"])
        await client.frame()
        [source] = client.video.receiver.getSynchronizationSources()
        await client.video.receiver._send_rtcp_pli(source.source)
        await client.heard("frame", lambda header: header["key"] and header["frame"] > first["frame"])
        assert len([header for header in client.of("frame") if not header["key"]]) > 0
        await client.close()

    at_desk(test)


def test_a_session_that_ends_says_so_and_closes(at_desk):
    async def test(desk: Desk) -> None:
        session, client = desk.open(), Client()
        await client.connect(desk, session)
        await client.heard("frame")
        client.say(type="close", ask=1)
        ended = await client.heard("standing", lambda message: message["state"] == "ended")
        assert ended["reason"] == "closed"
        await client.gone()
        assert client.of("error") == []
        await client.close()

    at_desk(test)


def test_a_client_that_leaves_leaves_its_session_waiting(at_desk):
    async def test(desk: Desk) -> None:
        session, client = desk.open(), Client()
        await client.connect(desk, session)
        await client.heard("frame")
        assert session.view().viewers == 1
        await client.close()
        while session.view().viewers:
            await asyncio.sleep(0.02)
        assert session.view().state == "detached"
        again = Client()
        await again.connect(desk, session)
        await again.heard("frame")
        assert session.view().state == "live"
        await again.close()

    at_desk(test)


def test_a_client_that_vanishes_is_given_up(at_desk, monkeypatch):
    monkeypatch.setattr(rtc_channel, "DEAD_SECONDS", 1.0)

    async def test(desk: Desk) -> None:
        session, client = desk.open(), Client()
        await client.connect(desk, session)
        await client.heard("frame")
        [peer] = desk.desk._peers.values()
        client.vanish()
        await peer.ended.wait()
        assert session.view().viewers == 0
        assert session.view().state == "detached"
        await client.close()

    at_desk(test)


async def send_for_ever(channel: ControlChannel, message: dict[str, Any]) -> None:
    while True:
        await channel.send(message)


def test_what_waits_for_a_client_is_bounded(at_desk):
    async def test(desk: Desk) -> None:
        client, message = Client(), {"type": "frame", "about": "x" * 1000}
        await client.connect(desk, desk.open())
        [peer] = desk.desk._peers.values()
        channel = peer._channel
        client.vanish()
        while channel.send_if_free(message):
            assert channel._channel.bufferedAmount < rtc_channel.BUSY_BYTES + 2000
        with pytest.raises(ChannelGoneError):
            await send_for_ever(channel, message)
        assert channel._channel.bufferedAmount < rtc_channel.DEAD_BYTES + 2000
        await client.close()

    at_desk(test)


def test_a_video_that_breaks_off_closes_the_connection(at_desk, monkeypatch):
    monkeypatch.setattr(rtc_peer, "UNTAKEN_SECONDS", 0.2)

    async def test(desk: Desk) -> None:
        session, client = desk.open(), Client()
        await client.connect(desk, session)
        await client.heard("frame")
        [peer] = desk.desk._peers.values()
        [sender] = peer._connection.getSenders()
        await sender.stop()  # as it ends by itself when it fails
        assert (await client.heard("error"))["code"] == "internal"
        await client.gone()
        await client.close()
        assert session.view().state != "ended"

    at_desk(test)


def test_a_connection_that_has_only_just_begun_is_closed_too(at_desk):
    async def test(desk: Desk) -> None:
        client = Client()
        await desk.desk.answer(desk.open(), await client.offer())
        [peer] = desk.desk._peers.values()
        await desk.desk.close_all()
        assert peer.ended.is_set()
        assert desk.desk._peers == {}
        await client.close()

    at_desk(test)


def test_key_frames_that_are_asked_for_come_some_time_apart():
    async def test() -> None:
        mailbox = Mailbox(asyncio.get_running_loop())
        track = rtc_video.DreamTrack(mailbox, scale=1, announce=lambda *_: None)
        assert track._take_wish(1.0)
        assert not track._take_wish(1.0)
        track.want_key()
        assert not track._take_wish(0.1)
        assert track._take_wish(0.5)
        assert track._take_wish(rtc_video.KEY_SECONDS)

    asyncio.run(test())


def test_a_newer_connection_takes_the_session_over(at_desk):
    async def test(desk: Desk) -> None:
        session, one, other = desk.open(), Client(), Client()
        await one.connect(desk, session)
        await one.heard("frame")
        await other.connect(desk, session)
        await other.heard("frame")
        assert (await one.heard("error"))["code"] == "replaced"
        await one.gone()
        assert session.view().viewers == 1
        await one.close()
        await other.close()

    at_desk(test)


def test_a_websocket_takes_over_too_and_the_other_way_round(at_desk):
    async def test(desk: Desk) -> None:
        session, client = desk.open(), Client()
        seat = desk.services.seats.take(session.id)  # as a WebSocket sits down
        await client.connect(desk, session)
        await asyncio.wait_for(seat.wait(), 5)
        desk.services.seats.take(session.id)
        assert (await client.heard("error"))["code"] == "replaced"
        await client.gone()
        await client.close()

    at_desk(test)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("no message", "bad_message"),
        (json.dumps({"type": "x" * 70_000}), "too_large"),
        (b"bytes", "bad_message"),
    ],
)
def test_what_is_no_message_closes_the_connection(at_desk, text, code):
    async def test(desk: Desk) -> None:
        session, client = desk.open(), Client()
        await client.connect(desk, session)
        client.channel.send(text)
        assert (await client.heard("error"))["code"] == code
        await client.gone()
        await client.close()
        assert session.view().state != "ended"

    at_desk(test)


def test_a_flood_closes_the_connection(at_desk):
    async def test(desk: Desk) -> None:
        client = Client()
        await client.connect(desk, desk.open())
        for _ in range(1000):
            client.say(type="ping")
        assert (await client.heard("error"))["code"] == "too_many_messages"
        await client.gone()
        await client.close()

    at_desk(test)


def test_a_connection_that_never_comes_about_is_given_up(at_desk, monkeypatch):
    monkeypatch.setattr(rtc_peer, "CONNECTING_SECONDS", 0.5)

    async def test(desk: Desk) -> None:
        session, client = desk.open(), Client()
        await desk.desk.answer(session, await client.offer())  # which the client never hears of
        [peer] = desk.desk._peers.values()
        await asyncio.wait_for(peer.ended.wait(), 10)
        assert desk.desk._peers == {}
        assert session.view().viewers == 0
        await client.close()

    at_desk(test)


def test_a_client_that_never_says_hello_is_given_up(at_desk, monkeypatch):
    monkeypatch.setattr(rtc_peer, "HELLO_SECONDS", 0.3)

    async def test(desk: Desk) -> None:
        client = Client()
        await client.accept(await desk.desk.answer(desk.open(), await client.offer()))
        assert (await client.heard("error"))["code"] == "no_hello"
        await client.gone()
        await client.close()

    at_desk(test)


def test_a_channel_of_another_name_is_none(at_desk, monkeypatch):
    monkeypatch.setattr(rtc_peer, "CONNECTING_SECONDS", 1.0)

    async def test(desk: Desk) -> None:
        client = Client(label="chat")
        await client.accept(await desk.desk.answer(desk.open(), await client.offer()))
        await client.gone()
        await client.close()

    at_desk(test)


def test_there_are_only_so_many_connections(at_desk, monkeypatch):
    monkeypatch.setattr(rtc, "SPARE", -2)  # three sessions, one connection

    async def test(desk: Desk) -> None:
        one, other, client = desk.open(), desk.open(), Client()
        await client.connect(desk, one)
        waiting = Client()
        with pytest.raises(ProblemError) as caught:
            await desk.desk.answer(other, await waiting.offer())
        assert caught.value.problem.code == "too_many_connections"
        again = Client()
        await again.connect(desk, one)  # its own gives way
        for each in (client, waiting, again):
            await each.close()

    at_desk(test)


def test_a_desk_that_closes_closes_all_and_answers_no_more(at_desk):
    async def test(desk: Desk) -> None:
        session, client = desk.open(), Client()
        await client.connect(desk, session)
        await desk.desk.close_all()
        await client.gone()
        with pytest.raises(ProblemError) as caught:
            await desk.desk.answer(session, await Client().offer())
        assert caught.value.problem.code == "draining"
        await client.close()

    at_desk(test)


def offered(*, video: bool = True, channel: bool = True, audio: bool = False) -> str:
    async def make() -> str:
        connection = RTCPeerConnection(
            RTCConfiguration(iceServers=[], bundlePolicy=RTCBundlePolicy.MAX_BUNDLE)
        )
        if video:
            connection.addTransceiver("video", direction="recvonly")
        if audio:
            connection.addTransceiver("audio", direction="recvonly")
        if channel:
            connection.createDataChannel("control")
        await connection.setLocalDescription(await connection.createOffer())
        sdp = str(connection.localDescription.sdp)
        await connection.close()
        return sdp

    return asyncio.run(make())


GOOD = offered()

BAD = {
    "empty": "",
    "garbage": "hello\nworld\n",
    "huge": GOOD + "a=x:" + "y" * 70_000,
    "many lines": GOOD + "a=x\r\n" * 20_000,
    "no video": offered(video=False),
    "no channel": offered(channel=False),
    "audio too": offered(audio=True),
    "two videos": GOOD + GOOD[GOOD.index("m=video") : GOOD.index("m=application")],
    "sends only": GOOD.replace("a=recvonly", "a=sendonly"),
    "inactive": GOOD.replace("a=recvonly", "a=inactive"),
    "no codec": GOOD.replace("H264", "H999").replace("VP8", "VP0"),
    "no bundle": GOOD.replace("a=group:BUNDLE", "a=group:LS"),
    "no ufrag": "\r\n".join(line for line in GOOD.splitlines() if not line.startswith("a=ice-ufrag")),
    "no fingerprint": "\r\n".join(line for line in GOOD.splitlines() if "fingerprint" not in line),
    "no mids": "\r\n".join(line for line in GOOD.splitlines() if not line.startswith("a=mid")),
    "bad port": GOOD.replace("m=video ", "m=video x"),
    "bad setup": GOOD.replace("a=setup:actpass", "a=setup:\0"),
    "bad rtpmap": GOOD.replace("a=rtpmap:", "a=rtpmap:?"),
    "bad fmtp": GOOD.replace("profile-level-id=", "profile-level-id=zz").replace("VP8", "VP0"),
    "bad candidate": GOOD.replace("a=ice-ufrag", "a=candidate:1 1 udp\r\na=ice-ufrag"),
    "no lines": GOOD.replace("\r\n", " "),
    "half": GOOD[: len(GOOD) // 3],
}


def test_bad_offers_are_refused_and_leave_nothing_behind(at_desk):
    async def test(desk: Desk) -> None:
        session, before = desk.open(), descriptors()
        for name, sdp in BAD.items():
            with pytest.raises(ProblemError) as caught:
                await desk.desk.answer(session, sdp)
            assert (caught.value.problem.code, name) == ("bad_sdp", name)
            assert caught.value.problem.status == 409
            assert (desk.desk._peers, name) == ({}, name)
            await nothing_left()
        assert descriptors() <= before

    at_desk(test)


def test_offers_with_their_lines_in_disorder_are_answered_or_refused(at_desk):
    async def test(desk: Desk) -> None:
        session, rng, lines = desk.open(), np.random.default_rng(6), GOOD.splitlines()
        codes = []
        for _ in range(60):
            changed = [*lines]
            for place in rng.integers(0, len(lines), 3):
                other = int(rng.integers(0, len(lines)))
                changed[place] = [changed[other], changed[place][: other % 7], changed[place] + "x9"][
                    other % 3
                ]
            try:
                await desk.desk.answer(session, "\r\n".join([*changed, ""]))
                codes.append("answered")
            except ProblemError as error:
                codes.append(error.problem.code)
        assert {*codes} == {"answered", "bad_sdp"}

    at_desk(test)


def test_candidates_that_cannot_be_tried_are_left_out():
    candidate = "a=candidate:{} {} {} 2113937151 {} 50000 typ host\r\n"
    lines = [
        candidate.format("mdns", 1, "udp", "7bf26909-43b4-4592-b168-2bc2aea4a954.local"),
        candidate.format("tcp", 1, "tcp", "127.0.0.1"),
        candidate.format("rtcp", 2, "udp", "127.0.0.1"),
        "a=candidate:short 1 udp 1 127.0.0.1 1 typ host\r\n",
        *[candidate.format(f"kept{number}", 1, "udp", "127.0.0.1") for number in range(40)],
    ]
    sdp = read_offer(GOOD.replace("a=ice-ufrag", "".join(lines) + "a=ice-ufrag", 1)).sdp
    kept = [line for line in sdp.splitlines() if line.startswith("a=candidate:")]
    assert len(kept) == MOST_CANDIDATES
    assert not any(word in "".join(kept) for word in ("mdns", "tcp ", "rtcp"))
    assert "a=end-of-candidates" not in sdp


def descriptors() -> int:
    gc.collect()
    return len(os.listdir("/proc/self/fd"))


def test_many_connections_leak_nothing(at_desk):
    async def test(desk: Desk) -> None:
        session = desk.open()

        async def once() -> weakref.ref[Peer]:
            client = Client()
            await client.connect(desk, session)
            await client.heard("frame")
            [peer] = map(weakref.ref, desk.desk._peers.values())
            await client.close()
            while desk.desk._peers:
                await asyncio.sleep(0.02)
            await nothing_left()
            return peer

        await once()
        before = descriptors(), threading.active_count()
        peers = [await once() for _ in range(10)]
        assert descriptors() <= before[0]
        assert threading.active_count() <= before[1] + 6  # the loop's own pool grows once
        assert [peer() for peer in peers] == [None] * 10

    at_desk(test)


def udp_addresses() -> set[str]:
    """Addresses that the UDP sockets of this process are bound to."""
    found = set()
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError), socket.socket(fileno=os.dup(int(name))) as each:
            if each.type == socket.SOCK_DGRAM:
                found.add(each.getsockname()[0])
    return found


def has_loopback(address: str) -> bool:
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as each:
            each.bind((address, 0))
    except OSError:
        return False
    return True


@pytest.mark.parametrize(
    ("bound", "address"), [("127.0.0.1", "127.0.0.1"), ("localhost", "127.0.0.1"), ("::1", "::1")]
)
def test_a_server_at_loopback_is_reached_at_loopback_only(host, tmp_path, bound, address):
    if address == "::1" and not has_loopback(address):
        pytest.skip("this machine has no IPv6")

    async def test() -> None:
        desk, client = Desk(host, tmp_path, bound), Client(addresses=[address])
        await client.connect(desk, desk.open())
        assert udp_addresses() == {address}
        answer = client.connection.remoteDescription.sdp
        hosts = {line.split()[4] for line in answer.splitlines() if line.startswith("a=candidate:")}
        assert hosts == {address}
        assert (await client.frame()).shape == (396, 384, 3)
        await client.close()
        await desk.close()

    asyncio.run(test())


def test_addresses_follow_from_where_the_server_is_bound():
    assert addresses_of("127.0.0.1") == ("127.0.0.1",)
    assert addresses_of("localhost") == ("127.0.0.1",)
    assert addresses_of("::1") == ("::1",)
    assert addresses_of("0.0.0.0") is None
    assert addresses_of("::") is None


def test_ice_servers_are_those_of_the_settings_and_none_by_default():
    turn = IceServer(url="turn:turn.example.org?transport=udp", username="name", credential="word")
    assert configuration(ServeSettings(host="0.0.0.0")).iceServers == []
    [server] = configuration(ServeSettings(host="0.0.0.0", ice_servers=(turn,))).iceServers
    assert (server.urls, server.username, server.credential) == (turn.url, "name", "word")
    assert configuration(ServeSettings(ice_servers=(turn,))).iceServers == []


def test_a_library_that_does_not_fit_is_told_and_not_used():
    class Other:
        def getLocalCandidates(self) -> list[Any]:
            return []

    for seam in (listen_only_at, check_listens_only_at):
        with pytest.raises(ProblemError) as caught:
            seam(Other(), HERE)
        assert caught.value.problem.code == "no_webrtc"
