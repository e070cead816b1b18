"""Messages over the data channel: controls and receipts, what is refused, what waits."""

from __future__ import annotations

import json
from typing import Any

import pytest
from rtc_ends import Client, Desk

from flashdreams_serve.web import rtc_channel, rtc_peer
from flashdreams_serve.web.rtc_channel import ChannelGoneError, ControlChannel


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
