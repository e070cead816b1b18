"""The line to a session: greets the server, hears it, and is mended when it breaks."""

from __future__ import annotations

import asyncio
import copy
import itertools
import logging
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Any, TypeAlias

from flashdreams.client.connection import Connection, connect
from flashdreams.client.http import Address
from flashdreams.client.messages import VERSION, foreign_answer, refused
from flashdreams.errors import (
    ConnectionLostError,
    NoServerError,
    ServerError,
    ServerTimeoutError,
    SessionEndedError,
)

log = logging.getLogger(__name__)

Message: TypeAlias = "dict[str, Any] | bytes"

PATIENCE = 30.0
"""Seconds until an answer is given up."""
BREATH = 15.0
"""Seconds between two signs of life."""
WAITS = (0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 6.4, 6.4)
"""Seconds before each try to connect again; in all a little less than a server waits for a lost client."""


class Line:
    """Messages to and from one session, over one connection after another.

    Args:
        address: Of the server.
        session: Its name.
        wishes: What the greeting says beside the version.
        hear: Called with each message that answers nothing that was asked, one after another.
        greeted: Called when a connection stands, the first or another one.
        over: Called when the line is closed by the server, or cannot be mended.
    """

    def __init__(
        self,
        address: Address,
        session: str,
        wishes: Mapping[str, Any],
        *,
        hear: Callable[[Message], Awaitable[None]],
        greeted: Callable[[], Awaitable[None]],
        over: Callable[[ServerError], Awaitable[None]],
    ) -> None:
        self._address = address
        self._session = session
        self._wishes = wishes
        self._hear, self._greeted, self._over = hear, greeted, over
        self._connection: Connection | None = None
        self._settled = asyncio.Event()
        self._numbers = itertools.count(1)
        self._asked: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self.error: ServerError | None = None
        """Why nothing comes any more; None while the line stands or is being mended."""

    @property
    def stands(self) -> bool:
        """Whether a message would be sent at once."""
        return self._settled.is_set() and self.error is None

    async def begin(self) -> None:
        """Connect, greet, and hear from then on.

        Raises:
            ServerError: Nobody answers, or not so.
        """
        connection = await self._connect()
        self._tasks = [asyncio.create_task(self._listen(connection)), asyncio.create_task(self._breathe())]

    async def send(self, message: Mapping[str, Any]) -> None:
        """Send a message; while the line is being mended, wait for that.

        Raises:
            ServerError: The line is closed.
        """
        await self._settled.wait()
        if self.error is not None or self._connection is None:
            raise self.error or left()
        await self._connection.send(message)

    async def ask(self, kind: str, **fields: Any) -> dict[str, Any]:
        """Send an order, and wait for its answer.

        Raises:
            ServerRefusedError: The server says no.
            ServerError: No answer comes.
        """
        number = next(self._numbers)
        answer = self._asked[number] = asyncio.get_running_loop().create_future()
        try:
            await self.send({"type": kind, "ask": number, **fields})
            return await asyncio.wait_for(answer, PATIENCE)
        except TimeoutError as error:
            raise _no_answer(kind) from error
        finally:
            del self._asked[number]

    async def close(self) -> None:
        """Hang up. The session goes on for a while without a client."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._hang_up(self.error or left())

    def abort(self) -> None:
        """Drop the connection without a word, as a network does that fails; it is then mended."""
        if self._connection is not None:
            self._connection.abort()

    async def _connect(self) -> Connection:
        connection = await connect(self._address, self._session)
        try:
            await asyncio.wait_for(self._greet(connection), PATIENCE)
        except BaseException as error:
            await connection.close()
            if isinstance(error, TimeoutError):
                raise _no_answer("hello") from error
            raise
        return connection

    async def _greet(self, connection: Connection) -> None:
        await connection.send({"type": "hello", "version": VERSION, **self._wishes})
        welcome: dict[str, Any] = {}
        while welcome.get("type") != "welcome":
            message = await connection.receive()
            if isinstance(message, bytes):
                raise foreign_answer(message[:40])
            if message.get("type") == "error":
                raise refused(message)
            if (welcome := message).get("type") != "welcome":
                await self._hear(message)
        await self._hear(welcome)
        self._connection = connection
        self._settled.set()
        await self._greeted()

    async def _listen(self, connection: Connection) -> None:
        """Hear until the line is closed, or cannot be mended."""
        try:
            while True:
                try:
                    await self._converse(connection)
                except ConnectionLostError as lost:
                    connection = await self._mend(lost)
        except ServerError as error:
            await self._hang_up(error)
            await self._over(error)

    async def _converse(self, connection: Connection) -> None:
        while True:
            message = await connection.receive()
            if isinstance(message, bytes) or not self._answers(message):
                await self._hear(message)

    def _answers(self, message: Mapping[str, Any]) -> bool:
        """Hand a message to whoever asked for it."""
        answer = self._asked.get(message.get("ask", 0))
        if answer is None or answer.done() or message.get("type") not in ("answer", "error"):
            return False
        if message["type"] == "error":
            answer.set_exception(refused(message))
        else:
            answer.set_result(dict(message))
        return True

    async def _mend(self, lost: ConnectionLostError) -> Connection:
        """Connect again to the same session.

        Raises:
            ServerError: It is over, or no try succeeds.
        """
        log.info("The connection to the session is lost; connecting again.")
        self._settled.clear()
        self._forget(lost)
        for wait in WAITS:
            await asyncio.sleep(wait)
            with suppress(NoServerError, ConnectionLostError, ServerTimeoutError):
                return await self._connect()
        raise lost

    async def _hang_up(self, error: ServerError) -> None:
        connection, self._connection = self._connection, None
        self.error = error
        self._forget(error)
        self._settled.set()
        if connection is not None:
            await connection.close()

    def _forget(self, error: ServerError) -> None:
        """Whoever waits for an answer learns that none will come, from an error of their own to raise."""
        for answer in self._asked.values():
            if not answer.done():
                answer.set_exception(copy.copy(error))

    async def _breathe(self) -> None:
        while self.error is None:
            await asyncio.sleep(BREATH)
            with suppress(ServerError):
                await self.send({"type": "ping"})


def left() -> SessionEndedError:
    """The error of a session that its client has left."""
    return SessionEndedError(
        "This session was closed, or left, by its client.",
        "A session is used until then.",
        "Open another one.",
        code="left",
    )


def _no_answer(kind: str) -> ServerTimeoutError:
    return ServerTimeoutError(
        f"The server did not answer {kind!r} within {PATIENCE:g} seconds.",
        "It answers each order.",
        "See whether the server is overloaded: flashdreams serve-bench SLUG --server URL",
        code="no_answer",
    )
