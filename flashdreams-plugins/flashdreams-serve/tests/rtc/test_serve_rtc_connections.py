"""How connections begin, take over from one another, and end; none leaves anything behind."""

from __future__ import annotations

import asyncio
import threading
import weakref

import pytest
from rtc_ends import Client, Desk, descriptors, nothing_left

from flashdreams_serve.web import rtc, rtc_channel, rtc_peer
from flashdreams_serve.web.problems import ProblemError
from flashdreams_serve.web.rtc_peer import Peer


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
