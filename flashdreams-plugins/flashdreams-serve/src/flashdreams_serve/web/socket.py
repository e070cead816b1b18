"""The WebSocket that carries a session."""

from __future__ import annotations

import asyncio
import json
import struct
import time
from collections.abc import Coroutine
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from flashdreams_serve.media.encoders import Encoded, FrameEncoder, encoder_for
from flashdreams_serve.media.tag import tagged
from flashdreams_serve.web.conversation import Conversation, Goodbye
from flashdreams_serve.web.first_end import first_end, raising
from flashdreams_serve.web.gate import deny, problem_response
from flashdreams_serve.web.mailbox import Mailbox, MailboxClosedError, TimedFrame
from flashdreams_serve.web.messages import SUBPROTOCOL
from flashdreams_serve.web.problems import ProblemError, internal
from flashdreams_serve.web.rest import found
from flashdreams_serve.web.services import Services

if TYPE_CHECKING:
    from flashdreams_serve.host.session import Session

HELLO_SECONDS = 10.0
SENDING_SECONDS = 15.0
"""A message that takes longer to send means that nobody reads any more."""
NO_HELLO, INTERNAL = 4408, 1011


async def serve_socket(websocket: WebSocket, name: str, services: Services) -> None:
    """Carry the session of that name until it ends, the client leaves, or another takes its place."""
    try:
        session = found(name, services)
    except ProblemError as error:
        await deny(websocket, problem_response(error.problem))
        return
    wanted = SUBPROTOCOL if SUBPROTOCOL in websocket.scope.get("subprotocols", ()) else None
    await websocket.accept(subprotocol=wanted)
    await Connection(websocket, session, services).run()


class Connection:
    """One WebSocket and its session."""

    def __init__(self, websocket: WebSocket, session: Session, services: Services) -> None:
        self._websocket = websocket
        self._session = session
        self._services = services
        self._mailbox = Mailbox(asyncio.get_running_loop())
        self._conversation = Conversation(session, services, self._send_message)
        self._sending = asyncio.Lock()

    async def run(self) -> None:
        """Serve it; returns once the connection is closed."""
        seat = self._services.seats.take(self._session.id)
        try:
            taken_over = raising(seat, Goodbye(1000, "Another connection has taken the session."))
            goodbye = await _parting_word(self._listen(), self._watch(), taken_over)
        finally:
            self._services.seats.leave(self._session.id, seat)
            self._leave()
        await self._close(goodbye)

    async def _listen(self) -> None:
        while True:
            message = await self._websocket.receive()
            if message["type"] == "websocket.disconnect":
                raise WebSocketDisconnect(message.get("code", 1005))
            text = message.get("text")
            await self._conversation.receive(text if text is not None else message.get("bytes") or b"")

    async def _watch(self) -> None:
        """Show and tell, once the client has said hello."""
        try:
            async with asyncio.timeout(HELLO_SECONDS):
                await self._conversation.greeted.wait()
        except TimeoutError:
            raise Goodbye(NO_HELLO, "No hello came.") from None
        self._session.attach(self._mailbox)
        mailbox, talk = self._mailbox, self._conversation
        await first_end(self._show(), talk.relay(mailbox), talk.report(mailbox))

    async def _show(self) -> None:
        encoder = encoder_for(self._conversation.codec)
        while True:
            frame = await self._mailbox.next_frame()
            message, seconds = await asyncio.to_thread(_packed, frame, encoder, self._conversation.tag)
            await self._send({"type": "websocket.send", "bytes": message})
            self._services.metrics.frame_sent("websocket", len(message), seconds)

    async def _send_message(self, message: dict[str, Any]) -> None:
        await self._send({"type": "websocket.send", "text": json.dumps(message)})

    async def _send(self, message: dict[str, Any]) -> None:
        """Send, one after the other.

        Raises:
            WebSocketDisconnect: Nobody reads any more.
        """
        try:
            async with asyncio.timeout(SENDING_SECONDS), self._sending:
                await self._websocket.send(message)
        except (TimeoutError, OSError):
            raise WebSocketDisconnect from None

    def _leave(self) -> None:
        self._session.detach(self._mailbox)
        self._mailbox.close()
        self._conversation.close()
        self._services.metrics.frames_left_out("websocket", self._mailbox.dropped, self._mailbox.stale)

    async def _close(self, goodbye: Goodbye | None) -> None:
        if goodbye is None or self._websocket.application_state is not WebSocketState.CONNECTED:
            return
        with suppress(WebSocketDisconnect, RuntimeError, TimeoutError):
            async with asyncio.timeout(SENDING_SECONDS):
                await self._websocket.close(goodbye.code, goodbye.reason)


async def _parting_word(*parts: Coroutine[Any, Any, None]) -> Goodbye | None:
    """Run all until one ends; with what word it ended, None where the client left."""
    try:
        await first_end(*parts)
    except (WebSocketDisconnect, MailboxClosedError):
        return None
    except Goodbye as word:
        return word
    except Exception as error:
        internal(error)
        return Goodbye(INTERNAL, "Something went wrong in the server.")
    return None


def _packed(frame: TimedFrame, encoder: FrameEncoder, tag: bool) -> tuple[bytes, float]:
    """A frame as the protocol carries it, and what the encoder took, in seconds."""
    began = time.monotonic()
    pixels = tagged(frame.pixels, frame.number) if tag else frame.pixels
    encoded: Encoded = encoder.encode(pixels)
    seconds = time.monotonic() - began
    height, width = pixels.shape[:2]
    header = frame.header(key=encoded.key, height=height, width=width, encoded_s=seconds)
    head = json.dumps(header).encode()
    return b"".join((struct.pack(">I", len(head)), head, encoded.data)), seconds
