"""Warns where the machine is too slow for the sessions that it serves."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from flashdreams_serve.host.events import ShownChunk
from flashdreams_serve.host.observers import Observed
from flashdreams_serve.host.observing import HostObserver

log = logging.getLogger(__name__)

WINDOW_SECONDS = 10.0
"""How long the same number of sessions is watched."""
ENOUGH = 0.9
"""Part of its frame rate that a session has at least where the machine is fast enough."""
MOST_MISSED = 0.05
"""Part of the chunks that may be late: with fewer late, sessions lack frames because they pause."""


@dataclass
class _Window:
    """What was made since ``began_at``."""

    began_at: float
    chunks: int = 0
    frames: int = 0
    missed: int = 0


class Pace(Observed):
    """Passes everything on to another observer, and warns once where sessions get too few frames.

    Args:
        observer: The other.
    """

    def __init__(self, observer: HostObserver | None) -> None:
        super().__init__(observer)
        self._sessions = 0
        self._window: _Window | None = None
        self._has_warned = False

    def slots(self, used: int, limit: int, waiting: int) -> None:
        """So many sessions have a slot; with another number, watching begins anew."""
        if used != self._sessions:
            self._sessions, self._window = used, None
        super().slots(used, limit, waiting)

    def chunk_made(self, made: ShownChunk, missed: bool) -> None:
        """A chunk was made."""
        super().chunk_made(made, missed)
        if self._has_warned or not self._sessions:
            return
        window = self._window = self._window or _Window(made.made_at)
        window.chunks += 1
        window.frames += len(made.frames)
        window.missed += missed
        if made.made_at - window.began_at >= WINDOW_SECONDS:
            self._judge(window, made)
            self._window = None

    def _judge(self, window: _Window, last: ShownChunk) -> None:
        rate = window.frames / (last.made_at - window.began_at) / self._sessions
        if rate < ENOUGH * last.fps and window.missed > MOST_MISSED * window.chunks:
            self._has_warned = True
            log.warning("%s", _too_slow(self._sessions, rate, last.fps))


def _too_slow(sessions: int, rate: float, fps: float) -> str:
    if sessions == 1:
        return f"A session gets {rate:.1f} frames a second of {fps:.1f} here: the machine is too slow."
    would_fit = max(1, int(sessions * rate / fps))
    return (
        f"{sessions} sessions get {rate:.1f} frames a second of {fps:.1f} each here: "
        f"fewer at once, with --sessions {would_fit}, get more."
    )
