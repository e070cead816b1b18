"""Whoever counts what the host does. No torch here."""

from __future__ import annotations

from typing import Literal, TypeAlias

from flashdreams_serve.host.events import ShownChunk

Phase: TypeAlias = Literal["loading", "ready", "draining", "failed", "stopped"]
"""The model is being loaded; sessions may begin; they are being ended; chunks cannot be made; it is over."""


class HostObserver:
    """Is told what happens, and does nothing with it; subclasses count.

    Methods return at once. One that raises is logged, and the observer is told nothing more.
    """

    def phase(self, phase: Phase) -> None:
        """The host has come into another phase."""

    def session_opened(self) -> None:
        """A session was opened, to begin at once or to wait."""

    def session_ended(self, reason: str) -> None:
        """A session has ended, for one of the reasons of a standing."""

    def chunk_made(self, made: ShownChunk, missed: bool) -> None:
        """A chunk was made, and was begun more than one chunk too late where it ``missed`` its deadline."""

    def slots(self, used: int, limit: int, waiting: int) -> None:
        """So many sessions have a slot, of so many, and so many wait for one."""
