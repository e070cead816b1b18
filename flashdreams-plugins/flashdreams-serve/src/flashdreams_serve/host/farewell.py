"""The end of a session: its video is saved where that was not its client's wish, and it is told."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from flashdreams_serve.host.errors import session_ended
from flashdreams_serve.host.log_file import Scribe
from flashdreams_serve.host.recording import LogSource, Recorder, no_log
from flashdreams_serve.host.session import Session

log = logging.getLogger(__name__)

_SAVED_UNASKED = ("failed", "no_memory", "drained")
"""Reasons to end that are not the client's."""
_THREADS = 4


class Farewell:
    """Says to those who watch a session that it has ended, once what is saved of it has been.

    Args:
        on_said: Called with each session, in whichever thread said it.
    """

    scribe: Scribe | None = None
    """Writes the logs that are saved beside videos; None before anything is loaded that could be logged."""

    def __init__(self, on_said: Callable[[Session], None]) -> None:
        self._on_said = on_said
        self._saving = ThreadPoolExecutor(max_workers=_THREADS, thread_name_prefix="save-at-end")

    def log_of(self, session: Session) -> LogSource:
        """The control log to be saved with a session that ends; asked for while it still computes."""
        dream = session.work.dream
        if _to_save_with(session) is None or dream is None or self.scribe is None:
            return no_log
        return self.scribe.as_it_stands(dream.log)

    def bid(
        self, session: Session, detail: Mapping[str, Any] | None, control_log: LogSource = no_log
    ) -> None:
        """End a session for those who watch it. Saving keeps nobody waiting."""
        recorder = _to_save_with(session)
        if recorder is not None:
            self._saving.submit(self._save_and_say, session, recorder, control_log, dict(detail or {}))
        else:
            self._say(session, detail)

    def close(self) -> None:
        """Nobody more is ending; what is being saved is saved to its end."""
        self._saving.shutdown(wait=False)

    def _save_and_say(
        self, session: Session, recorder: Recorder, control_log: LogSource, detail: dict[str, Any]
    ) -> None:
        try:
            saved = recorder.save_at_end(control_log)
            if saved is not None:
                detail["video"] = saved.name
        except Exception:
            log.exception("The video of a session that ended could not be saved.")
        self._say(session, detail or None)

    def _say(self, session: Session, detail: Mapping[str, Any] | None) -> None:
        session.end(None if detail is None else dict(detail))
        try:
            if session.recorder is not None:
                session.recorder.close()
        except Exception:
            log.exception("The recorder of a session that ended could not be closed.")
        self._on_said(session)


def _to_save_with(session: Session) -> Recorder | None:
    """What saves a session that ends; None where that is its client's wish, or it is not recorded."""
    return session.recorder if session.ending in _SAVED_UNASKED else None


def refuse_waiting(session: Session) -> None:
    """Refuse the orders that an ended session has left."""
    while session.orders:
        _, answer = session.orders.popleft()
        if answer.set_running_or_notify_cancel():
            answer.set_exception(session_ended())
