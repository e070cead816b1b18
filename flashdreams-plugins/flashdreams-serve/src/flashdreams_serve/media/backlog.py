"""Work that a thread of its own does in order, and chunks among it that give way when it lags."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from flashdreams_serve.host.events import ShownChunk

log = logging.getLogger(__name__)

MOST_FRAMES = 256
"""Frames that wait at most, the newest chunk aside."""
MOST_BYTES = 64 * 1024 * 1024
"""Bytes that these have at most, the newest chunk aside."""
_CLOSING_SECONDS = 10.0


@dataclass(frozen=True)
class _Work:
    do: Callable[[], None]
    chunk: ShownChunk | None = None
    dropped: Callable[[int], None] | None = None


class Backlog:
    """A thread, and what waits for it: begun with the first piece of work, and ended by :meth:`close`.

    Nobody who hands work over waits. When more frames wait than may, the oldest chunks are left out.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._change = threading.Condition()
        self._waiting: deque[_Work] = deque()
        self._frames = self._bytes = 0
        self._thread: threading.Thread | None = None
        self._is_open = True

    def add_chunk(
        self, chunk: ShownChunk, do: Callable[[ShownChunk], None], dropped: Callable[[int], None]
    ) -> None:
        """Call ``do`` with a chunk, or ``dropped`` with how many frames it had when it gave way."""
        with self._change:
            self._add(_Work(lambda: do(chunk), chunk, dropped))
            self._count(chunk, 1)
            while self._frames > MOST_FRAMES or self._bytes > MOST_BYTES:
                if not self._drop_oldest(chunk):
                    break

    def add(self, do: Callable[[], None]) -> bool:
        """Call ``do`` after all that waits; whether it will be, which it is not once closed."""
        with self._change:
            return self._add(_Work(do))

    def close(self) -> None:
        """Do what waits, and end the thread. Closing twice is harmless."""
        with self._change:
            self._is_open = False
            self._change.notify()
        if self._thread is not None:
            self._thread.join(_CLOSING_SECONDS)

    def _add(self, work: _Work) -> bool:
        if not self._is_open:
            return False
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
            self._thread.start()
        self._waiting.append(work)
        self._change.notify()
        return True

    def _drop_oldest(self, newest: ShownChunk) -> bool:
        """Leave out the oldest chunk that waits; whether there was one beside the newest."""
        for work in self._waiting:
            if work.chunk is not None and work.chunk is not newest:
                self._waiting.remove(work)
                self._count(work.chunk, -1)
                if work.dropped is not None:
                    work.dropped(len(work.chunk.frames))
                return True
        return False

    def _count(self, chunk: ShownChunk, sign: int) -> None:
        self._frames += sign * len(chunk.frames)
        self._bytes += sign * chunk.frames.nbytes

    def _run(self) -> None:
        while (work := self._next()) is not None:
            try:
                work.do()
            except Exception:
                log.exception("Work of %s failed", self._name)
            del work  # or the last chunk would stay until the next one comes

    def _next(self) -> _Work | None:
        with self._change:
            while not self._waiting:
                if not self._is_open:
                    return None
                self._change.wait()
            work = self._waiting.popleft()
            if work.chunk is not None:
                self._count(work.chunk, -1)
            return work
