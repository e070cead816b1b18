"""Ctrl-C and SIGTERM while a video is made: nothing is torn, and the file is finished."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Any

SAME_SIGNAL = 0.5  # seconds: a terminal and a parent process may both pass on one Ctrl-C


class Stopped(BaseException):
    """SIGTERM or SIGHUP arrived.

    Like KeyboardInterrupt it is no Exception, and it is no SystemExit either: plugins are allowed to
    fail with those, and a stop that arrives while one of them runs must not be taken for its failure.
    """

    def __init__(self, number: int) -> None:
        super().__init__(f"stopped by {signal.Signals(number).name}")
        self.number = number

    @property
    def code(self) -> int:
        """The exit code, 128 + the signal's number, as shells have it."""
        return 128 + self.number

    @property
    def signal_name(self) -> str:
        """SIGTERM or SIGHUP."""
        return signal.Signals(self.number).name


class Interrupts:
    """Turns signals into exceptions, at moments when that does no harm.

    In its ``with`` block the first SIGINT raises KeyboardInterrupt, the first SIGTERM or SIGHUP raises
    :class:`Stopped`; where :meth:`held` surrounds the work at hand, once that is done. The second one
    ends the process at once. A signal that was ignored stays ignored. Outside the main thread, where
    Python delivers no signals, nothing happens.
    """

    def __init__(self) -> None:
        self._before: dict[int, Any] = {}
        self._holds = 0
        self._received: int | None = None
        self._received_at = 0.0
        self._raised = False

    @contextmanager
    def held(self) -> Iterator[None]:
        """Let what happens inside finish before a signal is acted upon."""
        self._holds += 1
        try:
            yield
        finally:
            self._holds -= 1
            self._raise_if_free()

    def __enter__(self) -> Interrupts:
        if threading.current_thread() is threading.main_thread():
            for name in ("SIGINT", "SIGTERM", "SIGHUP"):
                number = getattr(signal, name, None)  # Windows has no SIGHUP
                if number is not None and signal.getsignal(number) not in (signal.SIG_IGN, None):
                    self._before[number] = signal.signal(number, self._receive)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before.clear()

    def _receive(self, number: int, frame: FrameType | None) -> None:
        if self._received is None:
            self._received, self._received_at = number, time.monotonic()
            self._raise_if_free()
        elif time.monotonic() - self._received_at > SAME_SIGNAL:
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)

    def _raise_if_free(self) -> None:
        if self._received is None or self._holds or self._raised:
            return
        self._raised = True
        if self._received == signal.SIGINT:
            raise KeyboardInterrupt
        raise Stopped(self._received)
