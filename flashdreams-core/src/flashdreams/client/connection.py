"""The connection to a session, by WebSocket."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from flashdreams.client.endings import ended
from flashdreams.client.http import Address, nobody_answers, speaks_otherwise
from flashdreams.client.messages import foreign_answer, wrong_token
from flashdreams.errors import ConnectionLostError, MissingExtraError, ServerRefusedError, SessionEndedError

if TYPE_CHECKING:
    from websockets.asyncio.client import ClientConnection

MOST_BYTES = 64 * 1024**2
"""Of one message; a raw frame of 4096 x 4096 pixels has 48 MiB."""
PATIENCE = 10.0
"""Seconds until a connection stands, or is given up."""
WAITING = 4
"""Messages that wait to be read; the server is told to wait with the rest."""

REFUSALS = {
    4400: ("no_message", "The server did not understand a message."),
    4403: ("foreign_origin", "The server does not answer pages of this origin."),
    4404: ("no_such_session", "There is no such session."),
    4408: ("no_hello", "The server was not greeted in time."),
    4409: ("too_large", "A message was too large."),
    4429: ("too_many", "Too many messages, or connections."),
}
"""Codes with which a server closes a connection that another one would not mend."""


class Connection:
    """Messages to and from a session. Made by :func:`connect`."""

    def __init__(self, websocket: ClientConnection) -> None:
        self._websocket = websocket

    async def send(self, message: Mapping[str, Any]) -> None:
        """Send one.

        Raises:
            ServerError: As :meth:`receive`.
        """
        from websockets.exceptions import ConnectionClosed

        try:
            await self._websocket.send(json.dumps(message))
        except ConnectionClosed as error:
            raise self._closed() from error

    async def receive(self) -> dict[str, Any] | bytes:
        """The next one: plain values, or the bytes of a frame.

        Raises:
            SessionEndedError: The server has closed it, for good.
            ServerRefusedError: The server has closed it because of its client.
            ConnectionLostError: It is lost.
            NoServerError: The message is none of the protocol.
        """
        from websockets.exceptions import ConnectionClosed

        try:
            message = await self._websocket.recv()
        except ConnectionClosed as error:
            raise self._closed() from error
        if isinstance(message, bytes):
            return message
        try:
            return dict(json.loads(message))
        except (ValueError, TypeError) as error:
            raise foreign_answer(message) from error

    async def close(self) -> None:
        """Close it; the session goes on for a while without a client."""
        await self._websocket.close()

    def abort(self) -> None:
        """Drop it without a word, as a network does that fails."""
        self._websocket.transport.abort()

    def _closed(self) -> SessionEndedError | ServerRefusedError | ConnectionLostError:
        code = self._websocket.close_code
        if code == 1001:
            return ended("drained")
        if code == 1000:
            return SessionEndedError(
                "The server has ended the connection.",
                "A session lasts until it is closed, or another connection takes its place.",
                "Open another one.",
                code="closed",
            )
        if code == 4401:
            return wrong_token()
        if code in REFUSALS:
            word, what = REFUSALS[code]
            return ServerRefusedError(
                what, "It is as the protocol says.", "See the log of the server.", code=word
            )
        return ConnectionLostError(
            "The connection to the session is lost.",
            "It stays until one side closes it.",
            "Check that the server runs, and attach to the session again.",
            code="connection_lost",
        )


async def connect(address: Address, session: str) -> Connection:
    """Connect to a session.

    Raises:
        MissingExtraError: The package ``websockets`` is not installed.
        ServerRefusedError: The server lets nobody in there.
        NoServerError: Nobody answers.
    """
    try:
        from websockets.asyncio.client import connect as open_websocket
        from websockets.exceptions import InvalidHandshake, InvalidMessage, InvalidStatus
    except ImportError as error:
        raise _no_websockets() from error
    try:
        websocket = await open_websocket(
            address.of_websocket(f"/v1/sessions/{session}/stream"),
            additional_headers=address.headers,
            compression=None,  # frames are compressed already
            max_size=MOST_BYTES,
            max_queue=WAITING,
            open_timeout=PATIENCE,
            close_timeout=1.0,
            proxy=None if address.is_loopback else True,
            ssl=address.tls,
        )
    except InvalidStatus as error:
        raise _turned_away(error.response.status_code) from error
    except InvalidMessage as error:
        raise speaks_otherwise(address, "HTTP", error) from error
    except (OSError, InvalidHandshake, TimeoutError) as error:
        raise nobody_answers(address, error) from error
    return Connection(websocket)


def _turned_away(status: int) -> ServerRefusedError:
    if status == 401:
        return wrong_token()
    return ServerRefusedError(
        f"The server refuses the connection, with status {status}.",
        "It lets in whoever names a session that lives.",
        "Check that the session has not ended.",
        code={403: "forbidden", 404: "no_such_session"}.get(status, "refused"),
    )


def _no_websockets() -> MissingExtraError:
    return MissingExtraError(
        "The client needs the package websockets, and it is not installed.",
        "The extra `client` of flashdreams-core installs it.",
        "Install it with: pip install 'flashdreams-core[client]'",
    )
