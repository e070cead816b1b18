"""The data channel "control": the protocol's messages, in and out, in bounds."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from aiortc import RTCDataChannel
from aiortc.exceptions import InvalidStateError

from flashdreams_serve.web.conversation import TOO_MANY, Goodbye

LABEL = "control"
MOST_WAITING = 64
"""Messages of a client that were not read yet."""
BUSY_BYTES = 32 * 1024
"""Bytes on their way out above which the headers of frames are left out."""
DEAD_BYTES = 512 * 1024
"""Bytes on their way out above which nobody seems to read any more."""
DEAD_SECONDS = 15.0
"""Time without one of them arriving after which that is sure."""
_FLUSH_SECONDS = 1.0


class ChannelGoneError(Exception):
    """Nobody reads at the other end any more."""


class ControlChannel:
    """Messages over a data channel, out as they come and in one by one."""

    def __init__(self, channel: RTCDataChannel) -> None:
        self._channel = channel
        self._received: asyncio.Queue[str | bytes | None] = asyncio.Queue(MOST_WAITING + 1)
        self._is_flooded = False
        channel.on("message", self._take)
        channel.on("close", self.close)

    async def receive(self) -> str | bytes:
        """The next message.

        Raises:
            Goodbye: The client sent more than it may.
            ChannelGoneError: The channel was closed.
        """
        message = await self._received.get()
        if self._is_flooded:
            raise Goodbye(TOO_MANY, f"{MOST_WAITING} messages wait to be read.")
        if message is None:
            raise ChannelGoneError
        return message

    async def send(self, message: dict[str, Any]) -> None:
        """Send a message, behind those before it.

        Raises:
            ChannelGoneError: Nobody reads any more.
        """
        if self._channel.bufferedAmount > DEAD_BYTES:
            raise ChannelGoneError
        self._send(message)

    def send_if_free(self, message: dict[str, Any]) -> bool:
        """Send a message that may be left out, unless too much is on its way; whether it was sent."""
        if self._channel.bufferedAmount > BUSY_BYTES:
            return False
        try:
            self._send(message)
        except ChannelGoneError:
            return False
        return True

    async def check_alive(self) -> None:
        """Watch that what is sent arrives.

        Raises:
            ChannelGoneError: For too long nothing did.
        """
        waiting, since = 0, 0.0
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(1.0)
            now = self._channel.bufferedAmount
            if now < waiting or now == 0 or not since:
                since = loop.time()
            waiting = now
            if loop.time() - since > DEAD_SECONDS:
                raise ChannelGoneError

    async def flush(self) -> None:
        """Give what was sent a moment to leave."""
        for _ in range(round(_FLUSH_SECONDS / 0.02)):
            if self._channel.readyState != "open" or self._channel.bufferedAmount == 0:
                return
            await asyncio.sleep(0.02)

    def close(self) -> None:
        """Receive nothing more; whoever waits is told."""
        self._put(None)

    def _take(self, message: str | bytes) -> None:
        if self._received.qsize() >= MOST_WAITING:
            self._is_flooded = True
        else:
            self._put(message)

    def _put(self, message: str | bytes | None) -> None:
        if not self._received.full():
            self._received.put_nowait(message)

    def _send(self, message: dict[str, Any]) -> None:
        try:
            self._channel.send(json.dumps(message))
        except InvalidStateError:
            raise ChannelGoneError from None
