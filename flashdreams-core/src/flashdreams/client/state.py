"""What a client knows of its session: kept up by what the server says."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

from flashdreams.client.decoding import Decoder, decoder_for
from flashdreams.client.endings import ended
from flashdreams.client.line import Message
from flashdreams.client.messages import (
    Frame,
    Receipt,
    Refusal,
    Standing,
    foreign_answer,
    frame_of,
    refused,
    split_frame,
)
from flashdreams.errors import ServerError, ServerTimeoutError

logger = logging.getLogger(__name__)

REMEMBERED = 256
"""Receipts and refusals that are kept, the last ones."""
SMALL = 16 * 1024
"""Bytes up to which a picture is decoded at once; a larger one in a thread, so that the loop goes on."""
AS_WISHED = ("closed", "finished")
"""Reasons for which a session ends that are no error."""


class SessionState:
    """What is known of a session.

    Args:
        id: The name of the session.
        hold: Frames that wait to be taken.
    """

    def __init__(self, id: str, hold: int) -> None:
        self.id = id
        """Its name, which is its key: whoever has it may steer it."""
        self.seed = 0
        """Of its rollout."""
        self.model: Mapping[str, Any] = {}
        """What is served: size, frame rate, steering, as in ``GET /v1/models``."""
        self.codec = ""
        """How its frames travel."""
        self.standing = Standing("opening")
        """How it stands."""
        self.receipts: deque[Receipt] = deque(maxlen=REMEMBERED)
        """Controls that took effect, the last ones."""
        self.refusals: deque[Refusal] = deque(maxlen=REMEMBERED)
        """Controls that were not taken, the last ones. Each is logged as a warning, too."""
        self.stats: Mapping[str, Any] = {}
        """What the server said last of its work: ``fps``, ``chunk_ms``, ``missed``, ..."""
        self.dropped = 0
        """Frames that were here and that nobody took in time."""
        self.connections = 0
        """How many times it was connected to."""
        self._said_place = 0
        self._said_differs: tuple[str, ...] = ()
        self._decoder: Decoder | None = None
        self._frames: deque[Frame] = deque(maxlen=hold)
        self._news = asyncio.Condition()
        self._error: ServerError | None = None
        self._hearings: Mapping[str, Callable[[Mapping[str, Any]], None]] = {
            "welcome": self._hear_welcome,
            "standing": self._hear_standing,
            "receipt": self._hear_receipt,
            "refused": self._hear_refused,
            "error": self._hear_error,
            "stats": self._hear_stats,
        }

    async def _hear(self, message: Message) -> None:
        """Take in a message of the server.

        Raises:
            ServerError: It is not as the protocol says.
        """
        try:
            if isinstance(message, bytes):
                await self._hear_frame(message)
            else:
                hearing = self._hearings.get(str(message.get("type")))
                if hearing is not None:
                    hearing(message)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise foreign_answer(str(message)[:60]) from error
        await self._tell()

    async def _hear_frame(self, message: bytes) -> None:
        header, data = split_frame(message)
        if self._decoder is None:
            return
        if len(data) <= SMALL:
            pixels = self._decoder.decode(data, header)
        else:
            pixels = await asyncio.to_thread(self._decoder.decode, data, header)
        if pixels is None:
            return
        self.dropped += len(self._frames) == self._frames.maxlen
        self._frames.append(frame_of(header, pixels, time.monotonic()))

    def _hear_welcome(self, message: Mapping[str, Any]) -> None:
        self.connections += 1
        self.seed, self.model = int(message.get("seed") or 0), message.get("model") or {}
        self.codec = str(message.get("codec"))
        self._decoder = decoder_for(self.codec)
        self._hear_standing(message.get("standing") or {})

    def _hear_standing(self, message: Mapping[str, Any]) -> None:
        if message.get("state"):
            self.standing = Standing.read(message)
            self._say_place()
            self._say_differs()

    def _say_place(self) -> None:
        """Log the place in the queue where it is another than was said last."""
        place = self.standing.position
        if place and place != self._said_place:
            logger.info("The server is full; the session is number %d in its queue.", place)
        self._said_place = place

    def _say_differs(self) -> None:
        """Warn of what is other than where the control log comes from, unless that was said last."""
        differs = (*map(str, self.standing.detail.get("differs") or ()),)
        if differs and differs != self._said_differs:
            logger.warning("The log is replayed otherwise than it was made: %s.", "; ".join(differs))
        self._said_differs = differs

    def _hear_receipt(self, message: Mapping[str, Any]) -> None:
        self.receipts.append(Receipt(int(message["seq"]), int(message["chunk"])))

    def _hear_refused(self, message: Mapping[str, Any]) -> None:
        refusal = Refusal(int(message.get("seq") or 0), refused(message))
        self.refusals.append(refusal)
        logger.warning("A control was refused. %s %s", refusal.error.what, refusal.error.right)

    def _hear_error(self, message: Mapping[str, Any]) -> None:
        error = refused(message)
        logger.warning("The server says: %s %s", error.what, error.right)

    def _hear_stats(self, message: Mapping[str, Any]) -> None:
        self.stats = {name: value for name, value in message.items() if name != "type"}

    async def _end(self, error: ServerError) -> None:
        """Nothing comes any more."""
        self._error = error
        await self._tell()

    async def _tell(self) -> None:
        async with self._news:
            self._news.notify_all()

    async def _until(self, holds: Callable[[], bool], timeout: float | None = None) -> None:
        """Wait for something to hold.

        Raises:
            ServerTimeoutError: It does not in time.
            ServerError: The session is over, and it does not hold.
        """

        def is_settled() -> bool:
            return holds() or self._error is not None

        async with self._news:
            try:
                if not is_settled():  # without time to wait, asyncio would not even look
                    await asyncio.wait_for(self._news.wait_for(is_settled), timeout)
            except TimeoutError as error:
                raise late(timeout or 0.0) from error
        if not holds():
            raise self._end_error()

    @property
    def _ended_as_wished(self) -> bool:
        if self.standing.state == "ended":
            return self.standing.reason in AS_WISHED
        return self._error is not None and self._error.code == "left"

    def _end_error(self) -> ServerError:
        """Why the session is of no more use."""
        if self.standing.state != "ended" and self._error is not None:
            return self._error
        return ended(self.standing.reason or "closed")


def late(seconds: float) -> ServerTimeoutError:
    """The error of what did not come in time."""
    return ServerTimeoutError(
        f"Nothing came within {seconds:g} seconds.",
        "A session that is live shows frames and answers.",
        "Wait longer, resume it where it is paused, or look at its standing.",
        code="timeout",
    )
