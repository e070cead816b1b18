"""The messages of one client, whatever carries them."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, TypeAlias

from pydantic import ValidationError

from flashdreams.client.messages import CODECS
from flashdreams_serve.host.events import Refused, Standing
from flashdreams_serve.host.orders import Control
from flashdreams_serve.media.tag import SQUARES
from flashdreams_serve.web.asks import answered, order_of
from flashdreams_serve.web.mailbox import Mailbox
from flashdreams_serve.web.messages import (
    VERSION,
    Ask,
    Away,
    ClientMessage,
    Hello,
    Ping,
    Report,
    SetControls,
    ask_in,
    event_message,
    fault_in,
    is_message,
    read_message,
    standing_tree,
)
from flashdreams_serve.web.openings import check_words
from flashdreams_serve.web.problems import ProblemError, problem, problem_of
from flashdreams_serve.web.rates import Bucket
from flashdreams_serve.web.services import Services
from flashdreams_serve.web.stats import stats_message

if TYPE_CHECKING:
    from flashdreams_serve.host.session import Answer, Session

log = logging.getLogger(__name__)

MOST_ASKS = 8
"""Asks of one client that wait for their answers."""
SETTLING_SECONDS = 1.0
"""How long a session that has ended still gives the answers that it owes."""

NO_MESSAGE, TOO_LARGE, TOO_MANY = 4400, 4409, 4429

Send: TypeAlias = Callable[[dict[str, Any]], Awaitable[None]]


class Goodbye(Exception):  # noqa: N818 -- it is none: a word at parting
    """The connection must be closed.

    Args:
        code: Of the protocol's closing.
        reason: A word for whoever reads the log of a client; at most 123 bytes.
    """

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(code, reason)
        self.code = code
        self.reason = reason


class Conversation:
    """The messages of one client, whatever carries them.

    Args:
        session: What the client steers.
        services: What the endpoints share.
        send: Sends one message.
        video: The codec of a transport that carries pixels by itself; with it the client names none.
    """

    def __init__(self, session: Session, services: Services, send: Send, *, video: str | None = None) -> None:
        self.session = session
        self.codec = video or CODECS[0]
        """What the client is sent, once it has said hello."""
        self.tag = False
        """Whether frames carry their number in their pixels."""
        self.greeted = asyncio.Event()
        """Set once the client has said hello and was welcomed."""
        self._services = services
        self._send = send
        self._video = video
        self._bucket = Bucket(services.settings.limits.messages_per_second)
        self._asks: set[asyncio.Task[None]] = set()
        self._ordering = asyncio.Lock()

    async def receive(self, text: str | bytes) -> None:
        """Do what a message says, or say why not.

        Raises:
            Goodbye: The connection must be closed: it was no message, too large, or one too many.
        """
        self._check_bearable(text)
        self.session.heard()
        if not isinstance(text, str) or not is_message(text):
            raise Goodbye(NO_MESSAGE, "A message is a JSON object with a type, sent as text.")
        try:
            message = read_message(text)
        except ValidationError as error:
            await self._send_problem(_bad_message(error), ask_in(text))
            return
        try:
            await self._do(message)
        except ProblemError as error:
            await self._send_problem(error, ask_in(text))

    async def relay(self, mailbox: Mailbox) -> None:
        """Tell the client what happens to its session, until that has ended.

        Raises:
            Goodbye: The session has ended.
            MailboxClosedError: The mailbox was closed.
        """
        while True:
            event = await mailbox.next_event()
            await self._send(event_message(event))
            if isinstance(event, Standing) and event.state == "ended":
                await self._settle()
                code = 1001 if event.reason == "drained" else 1000
                raise Goodbye(code, f"The session has ended: {event.reason}.")

    async def report(self, mailbox: Mailbox) -> None:
        """Tell the client each second how it goes, for ever."""
        while True:
            taken = mailbox.taken
            await asyncio.sleep(1.0)
            fps = mailbox.taken - taken
            await self._send(stats_message(self.session, self._services.host, mailbox, fps))

    def close(self) -> None:
        """Answer nothing any more."""
        for ask in self._asks:
            ask.cancel()

    def _check_bearable(self, text: str | bytes) -> None:
        limits = self._services.settings.limits
        size = len(text if isinstance(text, bytes) else text.encode(errors="replace"))
        if size > limits.message_bytes:
            raise Goodbye(TOO_LARGE, f"A message has at most {limits.message_bytes} bytes.")
        if not self._bucket.take():
            raise Goodbye(TOO_MANY, f"At most {limits.messages_per_second:g} messages a second.")

    async def _do(self, message: ClientMessage) -> None:
        match message:
            case Hello():
                await self._greet(message)
            case _ if not self.greeted.is_set():
                raise problem(409, "no_hello", "Hello was not said.", "It comes first.", "Say hello.")
            case SetControls():
                await self._set(message)
            case Ping():
                await self._send({"type": "pong", "sent_at": message.sent_at})
            case Away():
                self.session.expect_back_soon()
            case Report():
                self._services.metrics.latencies_reported(message.latency_ms)
            case _:
                self._ask(message)

    async def _greet(self, hello: Hello) -> None:
        self._check_hello(hello)
        self.tag = hello.tag
        if self._video is None:
            self.codec = (hello.codecs or CODECS)[0]
        await self._send(self._welcome())
        self.greeted.set()

    def _check_hello(self, hello: Hello) -> None:
        if self.greeted.is_set():
            raise problem(409, "second_hello", "Hello was said before.", "It is said once.", "Connect anew.")
        if hello.version != VERSION:
            raise problem(
                409,
                "bad_version",
                "The server does not speak this version of the protocol.",
                f"It speaks version {VERSION}.",
                "Use a client of that version.",
            )
        if hello.tag and self._services.host.card.width < SQUARES:
            raise problem(
                409,
                "no_tag",
                "The frames are too narrow to carry a tag.",
                f"They are at least {SQUARES} pixels wide.",
                "Say hello without it.",
            )

    def _welcome(self) -> dict[str, Any]:
        return {
            "type": "welcome",
            "version": VERSION,
            "session": self.session.id,
            "model": self._services.model(),
            "codec": self.codec,
            "tag": self.tag,
            "seed": self.session.seed,
            "standing": standing_tree(self.session.standing),
        }

    async def _set(self, message: SetControls) -> None:
        received_at = time.monotonic()
        try:
            for name, value in message.values.items():
                check_words(name, value, self._services)
            values = self._services.host.card.steering.checked(message.values)
            self.session.control(
                Control(seq=message.seq, values=values, sent_at=message.sent_at, received_at=received_at)
            )
        except Exception as error:
            told = problem_of(error)
            self._services.metrics.refused(told.code)
            await self._send(event_message(Refused(seq=message.seq, **told.sentences())))

    def _ask(self, message: Ask) -> None:
        if len(self._asks) >= MOST_ASKS:
            raise problem(
                429,
                "too_many_asks",
                f"{MOST_ASKS} asks wait for their answers.",
                "No more than these wait at once.",
                "Wait for an answer.",
            )
        task = asyncio.create_task(self._answer(message))
        self._asks.add(task)
        task.add_done_callback(self._has_answered)

    def _has_answered(self, task: asyncio.Task[None]) -> None:
        self._asks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            log.debug("Nobody was there any more to be answered", exc_info=task.exception())

    async def _answer(self, message: Ask) -> None:
        try:
            done = await answered(await self._ordered(message))
        except Exception as error:
            await self._send_problem(error, message.ask)
        else:
            await self._send({**done, "type": "answer", "ask": message.ask})

    async def _ordered(self, message: Ask) -> Answer:
        """Give the order for what a client asks: one after another, though a reset has to be read before."""
        async with self._ordering:
            return self.session.order(await order_of(message, self._services, self.session.client))

    async def _settle(self) -> None:
        if self._asks:
            await asyncio.wait(self._asks, timeout=SETTLING_SECONDS)

    async def _send_problem(self, error: Exception, ask: int | None) -> None:
        told = problem_of(error)
        self._services.metrics.refused(told.code)
        asked = {} if ask is None else {"ask": ask}
        await self._send({"type": "error", **asked, **told.sentences()})


def _bad_message(error: ValidationError) -> ProblemError:
    return problem(
        422,
        "bad_message",
        f"A message cannot be understood. {fault_in(error.errors(include_input=False))}.",
        "Messages are as the protocol says, with these fields and no others.",
        "Correct the message; the page /docs of the server names every field.",
    )
