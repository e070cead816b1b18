"""Queues, lost connections and several at once, against a real server of pocket-racer."""

import asyncio
import logging

import pytest

from flashdreams.client import AsyncClient, Client
from flashdreams.errors import SessionEndedError, SessionQueuedError


def within(seconds, work):
    """Run a coroutine, for so long at most."""
    return asyncio.run(asyncio.wait_for(work, seconds))


def test_a_full_server_says_the_place_in_the_queue(server, token, places):
    async def knock():
        async with AsyncClient(server.url, token) as client:
            for _ in range(places):
                await client.open()
            errors = []
            for timeout in (0, 0.3):
                with pytest.raises(SessionQueuedError) as caught:
                    await client.open(timeout=timeout)
                errors.append(caught.value)
            return errors, await client.sessions()

    errors, sessions = within(60, knock())
    assert [error.position for error in errors] == [1, 1]
    assert len(sessions["sessions"]) == places, "who waits no longer has left the queue"


def test_the_plain_client_does_not_wait_where_it_is_told_so(client, places):
    for _ in range(places):
        client.open()
    with pytest.raises(SessionQueuedError, match="number 1") as caught:
        client.open(timeout=0)
    assert "timeout=" in caught.value.next


def test_who_waits_has_its_turn_when_another_leaves(server, token, places, caplog):
    caplog.set_level(logging.INFO, "flashdreams.client")

    async def wait():
        async with AsyncClient(server.url, token) as client:
            first, *_ = [await client.open() for _ in range(places)]
            waiting = asyncio.create_task(client.open(seed=11))
            await asyncio.sleep(0.3)
            assert not waiting.done()
            await first.close()
            session = await waiting
            return session.seed, [frame.chunk async for frame in session.frames(limit=3)]

    seed, chunks = within(60, wait())
    assert seed == 11
    assert [text for text in caplog.messages if "queue" in text] == [
        "The server is full; the session is number 1 in its queue."
    ]
    assert len(chunks) == 3


def test_a_lost_connection_is_made_again_to_the_same_session(server, token):
    async def lose():
        async with AsyncClient(server.url, token) as client:
            session = await client.open(seed=1)
            before = [frame.number async for frame in session.frames(limit=5)]
            session.abort()
            seq = await session.set(steer=0.5)
            receipt = await session.wait_receipt(seq)
            after = [frame async for frame in session.frames(limit=20)]
            return session.connections, before, after, receipt

    connections, before, after, receipt = within(60, lose())
    assert connections == 2
    assert all(frame.number > before[-1] for frame in after[2:])
    assert after[-1].seq >= 1
    assert receipt.chunk > 0


def test_another_connection_takes_the_place_of_the_first(server, token):
    async def take():
        async with AsyncClient(server.url, token) as client:
            session = await client.open()
            other = await client.attach(session.id)
            with pytest.raises(SessionEndedError):
                async for _ in session.frames():
                    pass
            return [frame.number async for frame in other.frames(limit=3)]

    assert len(within(60, take())) == 3


def test_slow_readers_get_the_newest_frames(server, token):
    async def dawdle():
        async with AsyncClient(server.url, token) as client:
            session = await client.open(hold=2)
            await anext(session.frames(limit=1))
            await asyncio.sleep(1.0)
            fresh = [frame async for frame in session.frames(limit=2)]
            return session.dropped, fresh

    dropped, fresh = within(60, dawdle())
    assert dropped > 0
    assert fresh[0].number >= dropped - 2


def test_sessions_that_were_left_open_are_closed_with_the_client(server, token):
    async def leave():
        async with AsyncClient(server.url, token) as client:
            session = await client.open()
        async with AsyncClient(server.url, token) as client:
            left = (await client.sessions())["sessions"]
        return session, left

    session, left = within(60, leave())
    assert left == []
    with pytest.raises(SessionEndedError):
        within(10, session.set(steer=0.0))


def test_forks_are_closed_and_what_was_attached_is_left_with_the_client(server, token):
    with Client(server.url, token) as watching:
        with Client(server.url, token) as client:
            session = client.open()
            forked = session.fork()
            watching.attach(session.id)
            assert len(watching.sessions()["sessions"]) == 2
        assert forked.standing.state == "ended"
        assert watching.sessions()["sessions"] == []
        kept = watching.open()
        with Client(server.url, token) as other:
            left = other.attach(kept.id)
        assert left.standing.state != "ended"
        assert len(watching.sessions()["sessions"]) == 1


def test_all_who_wait_for_an_answer_get_an_error_of_their_own(server, token):
    async def hang_up():
        async with AsyncClient(server.url, token) as client:
            session = await client.open()
            waiting = [asyncio.create_task(session.log()) for _ in range(2)]
            await asyncio.sleep(0)  # both have asked
            await session.leave()
            return await asyncio.gather(*waiting, return_exceptions=True)

    first, second = within(60, hang_up())
    assert isinstance(first, SessionEndedError)
    assert (first.what, first.code) == (second.what, second.code)
    assert first is not second, "or the traceback of one would be that of the other"


def test_the_plain_client_serves_where_an_event_loop_runs_already(server, token):
    async def notebook():
        with Client(server.url, token) as client, client.open() as session:
            return [frame.chunk for frame in session.frames(limit=2)]

    assert len(within(60, notebook())) == 2
