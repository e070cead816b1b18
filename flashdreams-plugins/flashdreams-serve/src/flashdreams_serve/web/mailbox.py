"""What waits for one client: the newest frames, paced, and what happened to its session."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from flashdreams_serve.host.events import Event, ShownChunk
from flashdreams_serve.web.timed_frame import TimedFrame

__all__ = ["WAITING_CHUNKS", "WAITING_EVENTS", "Mailbox", "MailboxClosedError", "TimedFrame"]

WAITING_CHUNKS = 2
"""Chunks that wait behind the one that is being shown."""
WAITING_EVENTS = 256
CATCHING_UP = 0.2
"""Part of a frame's time by which it is shown more briefly while its chunk is behind."""


class MailboxClosedError(Exception):
    """Nothing more comes out of the mailbox."""


@dataclass
class _Arrived:
    """A chunk that waits or is being shown."""

    chunk: ShownChunk
    at: float
    waited_s: float
    shown: int = 0
    """Frames of it that were taken or left out."""
    behind: float = 0.0
    """Seconds by which it is shown later than it came; made good within its own frames."""

    @property
    def left(self) -> int:
        return len(self.chunk.frames) - self.shown


class Mailbox:
    """An outlet that a transport empties at its own pace, and that never holds more than a few chunks.

    A frame is due ``1 / fps`` after the one before it, the first of a chunk as soon as its predecessor's
    time is over. Whoever comes late gets the newest frame that is due, and the others count as dropped.
    Made on the event loop that reads it; the thread that computes writes.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.dropped = 0
        self.stale = 0
        self.taken = 0
        """Frames that the transport took."""
        self.last: ShownChunk | None = None
        """The newest chunk that came in."""
        self.closed = False
        self._loop = loop
        self._lock = threading.Lock()
        self._chunks: deque[_Arrived] = deque()
        self._events: deque[Event] = deque(maxlen=WAITING_EVENTS)
        self._waited = (0, 0.0)
        self._free_at = 0.0
        self._epoch = 0
        self._frame_came = asyncio.Event()
        self._event_came = asyncio.Event()

    def show(self, chunk: ShownChunk) -> None:
        """Take a chunk; the oldest that waits gives way. Thread-safe."""
        with self._lock:
            self._begin_epoch(chunk.epoch)
            self._chunks.append(_Arrived(chunk, time.monotonic(), self._wait_of(chunk)))
            self.last = chunk
            while len(self._chunks) > 1 + WAITING_CHUNKS:
                self.dropped += self._chunks.popleft().left
        self._ring(self._frame_came)

    def drop(self, before_epoch: int) -> None:
        """Leave out what waits and is of an earlier epoch. Thread-safe."""
        with self._lock:
            self._begin_epoch(before_epoch)

    def tell(self, event: Event) -> None:
        """Take an event. Thread-safe."""
        with self._lock:
            self._events.append(event)
        self._ring(self._event_came)

    def close(self) -> None:
        """Hold nothing any more; whoever waits is told. Thread-safe."""
        with self._lock:
            self.closed = True
            self._chunks.clear()
            self._events.clear()
        self._ring(self._frame_came)
        self._ring(self._event_came)

    async def next_frame(self) -> TimedFrame:
        """The newest frame that is due, once there is one.

        Raises:
            MailboxClosedError: The mailbox was closed.
        """
        while True:
            self._frame_came.clear()
            frame, wait = self._take(time.monotonic())
            if frame is not None:
                return frame
            await _woken(self._frame_came, wait)

    async def next_event(self) -> Event:
        """The oldest event that was not read yet, once there is one.

        Raises:
            MailboxClosedError: The mailbox was closed.
        """
        while True:
            self._event_came.clear()
            with self._lock:
                self._check_open()
                if self._events:
                    return self._events.popleft()
            await self._event_came.wait()

    def _take(self, now: float) -> tuple[TimedFrame | None, float | None]:
        """The frame to show now, or how many seconds there are until one is due; None where none waits."""
        with self._lock:
            self._check_open()
            newest: tuple[_Arrived, int] | None = None
            while (due := self._due()) is not None and due <= now:
                if newest is not None:
                    self.dropped += 1
                newest = self._advance(due)
            if newest is None:
                return None, None if due is None else due - now
            return self._timed(*newest, now), None

    def _due(self) -> float | None:
        """When the next frame is to be shown; None where none waits."""
        while self._chunks and self._chunks[0].left == 0:
            self._chunks.popleft()
        return max(self._free_at, self._chunks[0].at) if self._chunks else None

    def _advance(self, due: float) -> tuple[_Arrived, int]:
        arrived = self._chunks[0]
        index, arrived.shown = arrived.shown, arrived.shown + 1
        if index == 0:
            arrived.behind = due - arrived.at
        period = 1 / arrived.chunk.fps
        cut = min(arrived.behind, CATCHING_UP * period)
        arrived.behind -= cut
        self._free_at = due + period - cut
        return arrived, index

    def _timed(self, arrived: _Arrived, index: int, now: float) -> TimedFrame:
        self.taken += 1
        chunk = arrived.chunk
        return TimedFrame(
            chunk=chunk,
            index=index,
            pixels=chunk.frames[index],
            number=chunk.first_frame + index,
            taken_at=now,
            waited_s=arrived.waited_s,
            dropped=self.dropped,
            stale=self.stale,
        )

    def _begin_epoch(self, epoch: int) -> None:
        """Leave out what waits of earlier epochs; what obeys is then shown at once."""
        if epoch <= self._epoch:
            return
        self._epoch, self._free_at = epoch, 0.0
        fresh = deque(arrived for arrived in self._chunks if arrived.chunk.epoch >= epoch)
        self.stale += _frames_left(self._chunks) - _frames_left(fresh)
        self._chunks = fresh

    def _wait_of(self, chunk: ShownChunk) -> float:
        """Seconds that the chunk's control waited; later chunks that obey it waited no longer for it."""
        if chunk.received_at is None:
            return 0.0
        if self._waited[0] != chunk.seq:
            self._waited = (chunk.seq, chunk.began_at - chunk.received_at)
        return self._waited[1]

    def _check_open(self) -> None:
        if self.closed:
            raise MailboxClosedError

    def _ring(self, bell: asyncio.Event) -> None:
        _call_on(self._loop, bell.set)


def _frames_left(chunks: Iterable[_Arrived]) -> int:
    return sum(arrived.left for arrived in chunks)


def _call_on(loop: asyncio.AbstractEventLoop, call: Callable[[], object]) -> None:
    try:
        loop.call_soon_threadsafe(call)
    except RuntimeError:  # the loop has ended, and with it whoever would read
        return


async def _woken(bell: asyncio.Event, seconds: float | None) -> None:
    try:
        async with asyncio.timeout(seconds):
            await bell.wait()
    except TimeoutError:
        return
