"""Tells an observer what happens, whatever it makes of that."""

from __future__ import annotations

import logging
from collections.abc import Callable

from flashdreams_serve.host.events import ShownChunk
from flashdreams_serve.host.observing import HostObserver, Phase

log = logging.getLogger(__name__)


class Observed(HostObserver):
    """Passes everything on to an observer, until that raises: then it is logged, and told nothing more.

    Args:
        observer: Who is told; None for nobody.
    """

    def __init__(self, observer: HostObserver | None) -> None:
        self._observer = observer

    def phase(self, phase: Phase) -> None:
        """The host has come into another phase."""
        self._tell(lambda observer: observer.phase(phase))

    def session_opened(self) -> None:
        """A session was opened."""
        self._tell(lambda observer: observer.session_opened())

    def session_ended(self, reason: str) -> None:
        """A session has ended."""
        self._tell(lambda observer: observer.session_ended(reason))

    def chunk_made(self, made: ShownChunk, missed: bool) -> None:
        """A chunk was made."""
        self._tell(lambda observer: observer.chunk_made(made, missed))

    def slots(self, used: int, limit: int, waiting: int) -> None:
        """So many sessions have a slot, of so many, and so many wait."""
        self._tell(lambda observer: observer.slots(used, limit, waiting))

    def _tell(self, call: Callable[[HostObserver], None]) -> None:
        if self._observer is None:
            return
        try:
            call(self._observer)
        except Exception:
            log.exception("%s raised, and is told nothing more.", type(self._observer).__name__)
            self._observer = None
