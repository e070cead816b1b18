"""Video over WebRTC: frames with their tags and headers, codecs, key frames."""

from __future__ import annotations

import asyncio

from rtc_ends import Client, Desk

from flashdreams_serve.media.tag import read_tag, strip_height
from flashdreams_serve.web import rtc_peer, rtc_video
from flashdreams_serve.web.mailbox import Mailbox


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
