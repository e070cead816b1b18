"""Records every session: the last seconds of each, encoded by one thread for all of them."""

from __future__ import annotations

import logging
import math
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

from flashdreams_serve.host.errors import OrderRefusedError
from flashdreams_serve.host.events import Event, ShownChunk
from flashdreams_serve.host.recording import LogSource, Recorder, Saved, no_log
from flashdreams_serve.media.backlog import Backlog
from flashdreams_serve.media.errors import (
    not_recorded,
    nothing_kept,
    recorder_closed,
    too_many_saves,
)
from flashdreams_serve.media.fragments import Fragments, Kept, mp4_of
from flashdreams_serve.media.shelf import Shelf

log = logging.getLogger(__name__)

MOST_SAVES = 8
"""Videos that are being saved at once, over all sessions."""
END_SECONDS = 5.0
"""How long the end of a session waits for its video."""


class Reels:
    """Makes a recorder for each session; all of them share one thread that encodes and one that writes.

    Args:
        shelf: Where videos are saved.
        keep_seconds: Video that a session keeps in memory.
        scale: Each pixel becomes a square of ``scale`` x ``scale``.
    """

    def __init__(self, shelf: Shelf, *, keep_seconds: float, scale: int = 1) -> None:
        self.shelf = shelf
        self.keep_seconds = keep_seconds
        self.scale = scale
        self.encoding = Backlog("video-encoder")
        self._writing = ThreadPoolExecutor(1, thread_name_prefix="video-writer")
        self.saves = threading.BoundedSemaphore(MOST_SAVES)

    def recorder(self, session_id: str) -> Reel:
        """The recorder of a session."""
        return Reel(session_id, self)

    def close(self) -> None:
        """Save what was asked for, and end the threads."""
        self.encoding.close()
        self._writing.shutdown(wait=True)

    def write(self, do: Callable[[], None]) -> bool:
        """Call ``do`` in the thread that writes; whether it will be, which it is not once closed."""
        try:
            self._writing.submit(do)
        except RuntimeError:
            return False
        return True


class Reel(Recorder):
    """The last seconds of one session, as H.264 in memory.

    Frames that lag too far behind are left out, and counted in :attr:`dropped`: in the video the frame before
    them lasts longer. What nobody was shown because it was stale belongs to the session, and is kept.
    """

    dropped: int
    """Frames left out because encoding lagged."""

    def __init__(self, session_id: str, reels: Reels) -> None:
        self.dropped = 0
        self._session_id = session_id
        self._reels = reels
        self._fragments = Fragments(reels.keep_seconds, reels.scale)
        self._is_open = True
        self._is_broken = False

    def show(self, chunk: ShownChunk) -> None:
        """Keep a chunk."""
        if self._is_open and not self._is_broken:
            self._reels.encoding.add_chunk(chunk, self._encode, self._count_dropped)

    def drop(self, before_epoch: int) -> None:
        """Nothing: what is stale was dreamt all the same."""

    def tell(self, event: Event) -> None:
        """Nothing: events are not seen in the video."""

    def save(self, seconds: float, control_log: LogSource = no_log) -> Future[Saved]:
        """See :meth:`Recorder.save`; from the key frame before, so up to a second more is saved."""
        future = _begun()
        if not self._reels.saves.acquire(blocking=False):
            future.set_exception(too_many_saves())
            return future
        future.add_done_callback(lambda _: self._reels.saves.release())
        self._save(seconds, "last-{}s", control_log, future)
        return future

    def save_at_end(self, control_log: LogSource = no_log) -> Saved | None:
        """See :meth:`Recorder.save_at_end`; None, and the reason in the log, also where it fails."""
        future = _begun()
        self._save(math.inf, "end", control_log, future)
        try:
            return future.result(END_SECONDS)
        except OrderRefusedError as error:
            if error.code != "nothing_kept":
                log.warning("The video of a session was not saved at its end: %s", error.what)
        except TimeoutError:
            log.warning("The video of a session was not saved within %g s of its end", END_SECONDS)
        return None

    def close(self) -> None:
        """See :meth:`Recorder.close`; what was asked for before is still saved."""
        if self._is_open:
            self._is_open = False
            self._reels.encoding.add(self._fragments.clear)

    def _encode(self, chunk: ShownChunk) -> None:
        try:
            for index, frame in enumerate(chunk.frames):
                self._fragments.add(frame, chunk.first_frame + index, chunk.fps)
        except Exception:
            self._is_broken = True
            self._fragments.clear()
            raise

    def _count_dropped(self, frames: int) -> None:
        self.dropped += frames

    def _save(self, seconds: float, label: str, control_log: LogSource, future: Future[Saved]) -> None:
        """Save what is kept once all that was shown is encoded, and end the future."""

        def cut() -> None:
            kept = self._fragments.last(seconds)
            if kept is None:
                future.set_exception(not_recorded() if self._is_broken else nothing_kept())
            elif not self._reels.write(lambda: _end(future, lambda: self._write(kept, label, control_log))):
                future.set_exception(recorder_closed())

        if not self._is_open or not self._reels.encoding.add(cut):
            future.set_exception(recorder_closed())

    def _write(self, kept: Kept, label: str, control_log: LogSource) -> Saved:
        video, label = mp4_of(kept), label.format(max(1, round(kept.seconds)))
        name = self._reels.shelf.put(self._session_id, label, video, control_log)
        return Saved(name, kept.seconds, len(video))


def _begun() -> Future[Saved]:
    """A future that whoever waits for it cannot cancel."""
    future: Future[Saved] = Future()
    future.set_running_or_notify_cancel()
    return future


def _end(future: Future[Saved], write: Callable[[], Saved]) -> None:
    """End the future with what is saved, or with a refusal that a client may read."""
    try:
        saved = write()
    except OrderRefusedError as error:
        future.set_exception(error)
    except Exception:
        log.exception("A video could not be made")
        future.set_exception(not_recorded())
    else:
        future.set_result(saved)
