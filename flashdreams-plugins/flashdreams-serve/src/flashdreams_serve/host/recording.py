"""What the host needs of whatever records a session. No torch here."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import asdict, dataclass
from typing import Any, Protocol, TypeAlias

from flashdreams_serve.host.events import Outlet

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Saved:
    """A video that was saved."""

    name: str
    """Its name among those of its session."""
    seconds: float
    bytes: int

    def as_tree(self) -> dict[str, Any]:
        """As an order to save is answered."""
        tree = asdict(self)
        return {"video": tree.pop("name"), **tree}


LogSource: TypeAlias = Callable[[], Mapping[str, Any] | None]
"""Gives a control log as plain values, in whichever thread asks; None where there is none."""


def no_log() -> None:
    """The source of no control log."""


class Recorder(Outlet, Protocol):
    """Keeps the last seconds of a session, and saves them."""

    def save(self, seconds: float, control_log: LogSource = no_log) -> Future[Saved]:
        """Save the last ``seconds``, and the control log beside them, without keeping the caller waiting.

        The future ends with an ``OrderRefusedError`` where nothing can be saved: its text is safe to show.
        """

    def save_at_end(self, control_log: LogSource = no_log) -> Saved | None:
        """As :meth:`save`, all that is kept, in the thread of the caller; None where there is nothing."""

    def close(self) -> None:
        """Let go of what is kept."""


RecorderFactory: TypeAlias = Callable[[str], Recorder]
"""From the id of a session to whatever records it."""


def recorder_of(session_id: str, make: RecorderFactory | None) -> Recorder | None:
    """A recorder for a session; None where there is none to be had, which costs the session nothing else."""
    try:
        return None if make is None else make(session_id)
    except Exception:
        log.exception("A session is not recorded.")
        return None
