"""A reset is read before it reaches the thread that dreams, and on no event loop."""

from __future__ import annotations

import asyncio
import gc
import json
import threading
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from typing import Any

import pytest
import serve_talks

from flashdreams_serve.host.host import Host
from flashdreams_serve.host.orders import Opening
from flashdreams_serve.settings import Limits, ServeSettings
from flashdreams_serve.web.openings import read_aside
from flashdreams_serve.web.services import Services

HELLO = {"type": "hello", "version": 1}


@pytest.fixture(scope="module")
def services(racing_services: Callable[..., AbstractContextManager[Services]]) -> Iterator[Services]:
    limits = Limits(messages_per_second=1e9, snapshot_bytes=1000)
    with racing_services(ServeSettings(webrtc=False, limits=limits)) as services:
        yield services


class Talk(serve_talks.Talk):
    """To which messages are said."""

    async def say(self, **message: Any) -> None:
        await self.conversation.receive(json.dumps(message))

    async def ask(self, **message: Any) -> Mapping[str, Any]:
        await self.say(**message)
        return await self.hear()

    async def log(self) -> dict[str, Any]:
        while "log" not in (answer := await self.ask(type="log", ask=0)):
            assert answer["code"] == "not_begun"
        return dict(answer["log"])


def talking(services: Services, test: Callable[[Talk], Awaitable[None]]) -> None:
    async def run() -> None:
        talk = Talk(services)
        try:
            assert (await talk.ask(**HELLO))["type"] == "welcome"
            await talk.log()
            await test(talk)
        finally:
            talk.end()

    asyncio.run(run())


class Reading:
    """Holds up whoever reads what a rollout is to begin with, and notes in which thread that is."""

    def __init__(self, host: Host) -> None:
        self._read = host.beginning
        self.threads: list[str] = []
        self.began, self.may_end = threading.Event(), threading.Event()

    def __call__(self, opening: Opening) -> Any:
        self.threads.append(threading.current_thread().name)
        self.began.set()
        assert self.may_end.wait(60)
        return self._read(opening)


@pytest.fixture
def reading(services: Services, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], Reading]]:
    held: list[Reading] = []

    def hold() -> Reading:
        held.append(Reading(services.host))
        monkeypatch.setattr(services.host, "beginning", held[0])
        return held[0]

    yield hold
    held[0].may_end.set()


def test_while_a_log_is_read_chunks_are_made_and_messages_are_answered(
    services: Services, reading: Callable[[], Reading]
) -> None:
    async def test(talk: Talk) -> None:
        log = await talk.log()
        held = reading()
        await talk.say(type="reset", ask=1, log=log)
        assert await asyncio.to_thread(held.began.wait, 30)
        seen = talk.session.view().chunks
        while talk.session.view().chunks < seen + 3:
            await asyncio.sleep(0.01)
        assert (await talk.ask(type="ping"))["type"] == "pong"
        held.may_end.set()
        assert (await talk.hear())["seed"] == 1
        assert not {*held.threads} & {"dream", threading.current_thread().name}

    talking(services, test)


def test_what_is_asked_behind_a_reset_is_done_behind_it(
    services: Services, reading: Callable[[], Reading]
) -> None:
    async def test(talk: Talk) -> None:
        held = reading()
        await talk.say(type="reset", ask=1, seed=7)
        await talk.say(type="log", ask=2)
        assert await asyncio.to_thread(held.began.wait, 30)
        await asyncio.sleep(0.1)
        assert talk.sent.empty()
        held.may_end.set()
        answers = {answer["ask"]: answer for answer in [await talk.hear(), await talk.hear()]}
        assert answers[1]["seed"] == answers[2]["log"]["opening"]["seed"] == 7

    talking(services, test)


@pytest.mark.parametrize(
    "beginning",
    [{"log": {"no": "log"}}, {"start": "nowhere"}, {"prompt": "a road"}, {"log": {"slug": "pocket-racer"}}],
)
def test_a_reset_that_the_model_does_not_take_is_refused_as_such(services: Services, beginning: Any) -> None:
    async def test(talk: Talk) -> None:
        answer = await talk.ask(type="reset", ask=1, **beginning)
        assert (answer["type"], answer["ask"], answer["code"]) == ("error", 1, "bad_opening")
        assert answer["what"]
        assert answer["next"]
        assert (await talk.log())["opening"] == {"seed": 1}

    talking(services, test)


def test_an_image_that_is_not_there_is_named(services: Services) -> None:
    async def test(talk: Talk) -> None:
        assert (await talk.ask(type="reset", ask=1, image="never-sent"))["code"] == "no_such_image"
        assert (await talk.ask(type="pause", ask=2))["type"] == "answer", "others are answered"

    talking(services, test)


def test_a_reset_with_a_log_made_otherwise_tells_what_differs(services: Services) -> None:
    async def test(talk: Talk) -> None:
        log = await talk.log()
        log["made_with"]["threads"] = log["made_with"]["threads"] + 1
        answer = await talk.ask(type="reset", ask=1, log=log)
        assert [line.partition(" was ")[0] for line in answer["differs"]] == ["threads"]

    talking(services, test)


def test_a_snapshot_without_room_is_refused_with_what_it_takes(services: Services) -> None:
    async def test(talk: Talk) -> None:
        answer = await talk.ask(type="keep", ask=1, name="here")
        assert (answer["type"], answer["code"]) == ("error", "snapshots_full")
        assert "MiB; of the server's memory 1.0 KiB are left" in answer["what"]
        assert "at most 1.0 KiB" in answer["right"]

    talking(services, test)


def test_a_log_is_read_to_its_end_before_another_one_though_its_client_has_gone(services: Services) -> None:
    complaints: list[Any] = []

    async def leave() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, about: complaints.append(about))
        gate = threading.Event()

        def read(opening: Opening) -> None:
            gate.wait(30)
            raise ValueError("It was a bad log.")

        reading = asyncio.create_task(read_aside(read, Opening(log={}), services))
        while not services.reading.locked():
            await asyncio.sleep(0.01)
        waiting = asyncio.create_task(read_aside(read, Opening(log={}), services))
        await asyncio.sleep(0.01)
        for task in (reading, waiting):
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        assert services.reading.locked()
        gate.set()
        async with asyncio.timeout(30), services.reading:
            pass

    asyncio.run(leave())
    gc.collect()
    assert complaints == []
