"""The messages of a client: each is obeyed, or answered by a typed error, or ends the connection."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, get_args

import pytest
import serve_talks
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flashdreams_serve.host.events import Standing
from flashdreams_serve.settings import Limits, ServeSettings
from flashdreams_serve.web.conversation import Conversation, Goodbye
from flashdreams_serve.web.messages import ClientMessage
from flashdreams_serve.web.metrics import Metrics
from flashdreams_serve.web.rates import Rates
from flashdreams_serve.web.services import Services

HELLO = {"type": "hello", "version": 1, "codecs": ["png", "jpeg"]}
ANSWERS = {"welcome", "refused", "answer", "error", "pong"}
CLOSINGS = {None, 4400, 4409, 4429}


@pytest.fixture(scope="module")
def services(racing_services: Callable[..., AbstractContextManager[Services]]) -> Iterator[Services]:
    limits = Limits(sessions=4, messages_per_second=1e9, message_bytes=20_000, prompt_characters=50)
    with racing_services(ServeSettings(webrtc=False, limits=limits)) as services:
        yield services


class Talk(serve_talks.Talk):
    """To which anything may be said."""

    async def say(self, message: Any) -> None:
        text = message if isinstance(message, str | bytes) else json.dumps(message)
        await self.conversation.receive(text)

    async def closing(self, message: Any) -> int | None:
        """With which code a message ends the connection; None where it does not."""
        try:
            await self.say(message)
        except Goodbye as goodbye:
            return goodbye.code
        return None

    async def ask(self, message: Any) -> dict[str, Any]:
        await self.say(message)
        return await self.hear()


def talking(services: Services, test: Callable[[Talk], Awaitable[None]], *, greet: bool = True) -> None:
    async def run() -> None:
        talk = Talk(services)
        async with asyncio.timeout(20):
            while (await talk.mailbox.next_event()) != Standing(state="live"):
                pass
        try:
            if greet:
                assert (await talk.ask(HELLO))["type"] == "welcome"
            await test(talk)
        finally:
            talk.end()

    asyncio.run(run())


def test_hello_is_answered_by_a_welcome(services: Services) -> None:
    async def test(talk: Talk) -> None:
        welcome = await talk.ask({**HELLO, "tag": True})
        assert (welcome["type"], welcome["codec"], welcome["tag"]) == ("welcome", "png", True)
        assert (welcome["session"], welcome["seed"]) == (talk.session.id, 1)
        assert welcome["model"]["slug"] == "pocket-racer"
        assert welcome["standing"]["state"] == "live"
        assert (await talk.ask(HELLO))["code"] == "second_hello"

    talking(services, test, greet=False)


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ({"type": "ping"}, "no_hello"),
        ({"type": "close", "ask": 1}, "no_hello"),
        ({**HELLO, "version": 2}, "bad_version"),
        ({**HELLO, "codecs": ["gif"]}, "bad_message"),
        ({**HELLO, "codecs": ["png"] * 5}, "bad_message"),
    ],
)
def test_nothing_comes_before_a_proper_hello(services: Services, message: Any, code: str) -> None:
    async def test(talk: Talk) -> None:
        answer = await talk.ask(message)
        assert (answer["type"], answer["code"]) == ("error", code)
        assert answer.get("ask") == message.get("ask")
        assert not talk.conversation.greeted.is_set()

    talking(services, test, greet=False)


def test_a_transport_with_video_of_its_own_names_the_codec(services: Services) -> None:
    async def test(talk: Talk) -> None:
        talk.conversation = Conversation(talk.session, services, talk.sent.put, video="vp8")
        welcome = await talk.ask({"type": "hello", "version": 1})
        assert welcome["codec"] == talk.conversation.codec == "vp8"

    talking(services, test, greet=False)


def test_a_control_is_obeyed_by_a_chunk_and_receipted(services: Services) -> None:
    async def test(talk: Talk) -> None:
        await talk.say({"type": "control", "seq": 3, "values": {"steer": 0.5}, "sent_at": 12.25})
        async with asyncio.timeout(20):
            receipt = await talk.mailbox.next_event()
            while (frame := await talk.mailbox.next_frame()).chunk.seq < 3:
                pass
        assert receipt.seq == 3
        assert (frame.chunk.seq, frame.chunk.sent_at) == (3, 12.25)
        assert talk.sent.empty()

    talking(services, test)


@pytest.mark.parametrize(
    ("values", "code"),
    [
        ({"steer": 7.0}, "bad_control"),
        ({"steer": "left"}, "bad_control"),
        ({"nothing": 0.5}, "bad_control"),
        ({"steer": "x" * 51}, "too_many_words"),
    ],
)
def test_a_control_that_the_model_does_not_take_is_refused(
    services: Services, values: Any, code: str
) -> None:
    async def test(talk: Talk) -> None:
        answer = await talk.ask({"type": "control", "seq": 9, "values": values})
        assert (answer["type"], answer["seq"], answer["code"]) == ("refused", 9, code)
        assert all(answer[part] for part in ("what", "right", "next"))

    talking(services, test)


def test_asks_are_answered_by_their_number(services: Services) -> None:
    async def test(talk: Talk) -> None:
        assert await talk.ask({"type": "pause", "ask": 1}) == {"type": "answer", "ask": 1}
        assert await talk.ask({"type": "resume", "ask": 2}) == {"type": "answer", "ask": 2}
        assert (await talk.ask({"type": "keep", "ask": 3, "name": "here"}))["type"] == "answer"
        assert (await talk.ask({"type": "return", "ask": 4, "name": "here"}))["type"] == "answer"
        log = await talk.ask({"type": "log", "ask": 5})
        assert log["ask"] == 5
        assert log["log"]["opening"]["seed"] == 1
        missing = await talk.ask({"type": "return", "ask": 6, "name": "nowhere"})
        assert (missing["type"], missing["ask"]) == ("error", 6)
        fork = await talk.ask({"type": "fork", "ask": 7})
        assert services.host.session(fork["session"]) is not None
        services.host._reception.end(services.host.session(fork["session"]), "closed")
        again = await talk.ask({"type": "reset", "ask": 8, "seed": 4})
        assert (again["type"], again["ask"]) == ("answer", 8)
        refused = await talk.ask({"type": "reset", "ask": 9, "image": "never-sent"})
        assert (refused["type"], refused["ask"], refused["code"]) == ("error", 9, "no_such_image")

    talking(services, test)


def test_only_so_many_asks_wait_for_their_answers(services: Services) -> None:
    async def test(talk: Talk) -> None:
        for number in range(20):
            await talk.say({"type": "log", "ask": number})
        answers = [await talk.hear() for _ in range(20)]
        refused = [answer for answer in answers if answer["type"] == "error"]
        assert {answer["ask"] for answer in answers} == set(range(20))
        assert {answer["code"] for answer in refused} == {"too_many_asks"}

    talking(services, test)


def test_the_end_is_told_and_the_answers_that_are_owed_come_first(services: Services) -> None:
    async def test(talk: Talk) -> None:
        relaying = asyncio.create_task(talk.conversation.relay(talk.mailbox))
        await talk.say({"type": "close", "ask": 1})
        with pytest.raises(Goodbye) as goodbye:
            async with asyncio.timeout(20):
                await relaying
        assert goodbye.value.code == 1000
        heard = [talk.sent.get_nowait() for _ in range(talk.sent.qsize())]
        assert {"type": "answer", "ask": 1} in heard
        assert any(message.get("state") == "ended" for message in heard)

    talking(services, test)


def test_it_tells_each_second_how_it_goes(services: Services) -> None:
    async def test(talk: Talk) -> None:
        reporting = asyncio.create_task(talk.conversation.report(talk.mailbox))
        stats = await talk.hear()
        reporting.cancel()
        assert stats["type"] == "stats"
        assert (stats["sessions"], stats["waiting"]) == (1, 0)
        names = "type fps chunk_ms missed dropped stale path waiting sessions"
        assert stats.keys() == set(names.split())

    talking(services, test)


def test_latencies_that_a_client_saw_are_counted(services: Services) -> None:
    async def test(talk: Talk) -> None:
        await talk.say({"type": "report", "latency_ms": [40.0, 90]})
        assert b"flashdreams_key_to_pixel_seconds_count 2.0" in services.metrics.text()
        assert (await talk.ask({"type": "report", "latency_ms": [1] * 65}))["code"] == "bad_message"
        assert (await talk.ask({"type": "report", "latency_ms": [-1]}))["code"] == "bad_message"

    talking(services, test)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (b"{}", 4400),
        (b"\xff\x00", 4400),
        ("", 4400),
        ("{", 4400),
        ("[]", 4400),
        ("7", 4400),
        ("{}", 4400),
        ('{"type": 1}', 4400),
        ("[" * 15_000, 4400),
        ("x" * 20_001, 4409),
        ("é" * 10_001, 4409),
        (b"\0" * 20_001, 4409),
    ],
)
def test_what_is_no_message_ends_the_connection(services: Services, text: Any, code: int) -> None:
    async def test(talk: Talk) -> None:
        with pytest.raises(Goodbye) as goodbye:
            await talk.say(text)
        assert goodbye.value.code == code
        assert len(goodbye.value.reason.encode()) <= 123

    talking(services, test)


def test_too_many_messages_end_the_connection(services: Services) -> None:
    about = ServeSettings(limits=Limits(messages_per_second=5.0))
    few = Services(
        host=services.host, settings=about, shelf=services.shelf, metrics=Metrics(), rates=Rates(1e6)
    )

    async def test(talk: Talk) -> None:
        talk.conversation = Conversation(talk.session, few, talk.sent.put)
        for _ in range(10):  # two seconds' worth
            assert (await talk.ask({"type": "ping"}))["type"] in ("error", "pong")
        codes = [await talk.closing({"type": "ping"}) for _ in range(30)]
        assert 4429 in codes

    talking(services, test, greet=False)


def test_an_error_of_the_server_is_told_by_number_alone(services: Services, tmp_path: Path) -> None:
    async def test(talk: Talk) -> None:
        def fail(order: Any) -> Any:
            raise RuntimeError(f"secret words from {tmp_path}")

        talk.session.order = fail  # type: ignore[method-assign]
        answer = await talk.ask({"type": "pause", "ask": 3})
        assert (answer["type"], answer["ask"], answer["code"]) == ("error", 3, "internal")
        assert "secret" not in json.dumps(answer)
        assert str(tmp_path) not in json.dumps(answer)

    talking(services, test)


TYPES = st.sampled_from([*get_args(get_args(ClientMessage)[0]), None]).map(
    lambda kind: "nothing" if kind is None else get_args(kind.model_fields["type"].annotation)[0]
)
WORDS = st.text(max_size=20)
NUMBERS = st.one_of(st.integers(), st.floats(), st.booleans(), st.none())
ANYTHING = st.recursive(
    st.one_of(NUMBERS, WORDS),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(WORDS, inner, max_size=4)),
    max_leaves=10,
)
FIELDS = st.sampled_from(
    [
        *("seq", "values", "sent_at", "ask", "name", "seconds", "seed", "prompt", "start", "image", "log"),
        *("latency_ms", "version", "codecs", "tag", "extra"),
    ]
)
NEARLY = st.builds(
    lambda kind, rest: {**rest, "type": kind},
    TYPES,
    st.dictionaries(FIELDS, st.one_of(ANYTHING, st.just({"steer": 0.5}), st.integers(0, 9)), max_size=5),
)
MESSAGES = st.one_of(
    NEARLY.map(json.dumps), NEARLY.map(json.dumps), ANYTHING.map(json.dumps), st.text(), st.binary()
)


def test_whatever_is_sent_is_answered_or_ends_the_connection(services: Services) -> None:
    """Each example is said to a living session: it may be obeyed, and never raises anything else."""

    async def test(talk: Talk) -> None:
        async def said(messages: list[str | bytes]) -> None:
            for message in messages:
                assert await talk.closing(message) in CLOSINGS
            while talk.conversation._asks:
                await asyncio.wait(talk.conversation._asks, timeout=20)
            while not talk.sent.empty():
                _check_answer(talk.sent.get_nowait())

        # One loop for all examples: hypothesis runs in a thread of its own, and hands each over.
        loop = asyncio.get_running_loop()

        @settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck), database=None)
        @given(st.lists(MESSAGES, max_size=8))
        def fuzz(messages: list[str | bytes]) -> None:
            asyncio.run_coroutine_threadsafe(said(messages), loop).result(60)

        await asyncio.to_thread(fuzz)
        assert talk.session.view().state in ("live", "paused", "opening")

    talking(services, test)


def _check_answer(answer: dict[str, Any]) -> None:
    assert answer["type"] in ANSWERS
    if answer["type"] in ("error", "refused"):
        assert answer["code"] != "internal", answer
        assert all(isinstance(answer[part], str) and answer[part] for part in ("what", "right", "next"))
    assert len(json.dumps(answer)) < 20_000
