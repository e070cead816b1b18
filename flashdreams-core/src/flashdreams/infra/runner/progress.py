"""What a run says while it goes on: a bar on a terminal, lines elsewhere, or nothing."""

from __future__ import annotations

import logging
import sys
import time
from dataclasses import dataclass
from typing import Any, Literal

from flashdreams import environment

_LOG = logging.getLogger(__name__)

Show = Literal["auto", "bar", "lines", "off"]

SECONDS_BETWEEN_LINES = 10.0


@dataclass
class Pace:
    """How fast a run goes. Times are in seconds of one clock."""

    fps: float
    """Frames per second of the video."""
    total: int
    """Chunks to make."""
    began: float
    """When the run began, before anything was loaded."""
    ready: float = 0.0
    """When the first chunk was begun."""
    first: float | None = None
    """When the first chunk had been made."""
    last: float = 0.0
    """When the last chunk so far was final."""
    chunks: int = 0
    frames: int = 0

    def chunk_made(self, now: float, frames: int) -> None:
        """Count a chunk of ``frames`` frames that has just left the device."""
        self.first = now if self.first is None else self.first
        self.frames += frames

    def chunk_final(self, now: float) -> None:
        """Count that chunk as final."""
        self.chunks += 1
        self.last = now

    @property
    def time_to_first_chunk(self) -> float:
        """Seconds from the beginning of the run, loading included, to the first chunk; 0 before it."""
        return 0.0 if self.first is None else self.first - self.began

    @property
    def frames_per_second(self) -> float:
        """Frames made per second, whole chunk periods over; loading left out."""
        return self.frames / (self.last - self.ready) if self.last > self.ready else 0.0

    @property
    def real_time_factor(self) -> float:
        """Seconds of video made per second."""
        return self.frames_per_second / self.fps

    @property
    def remaining(self) -> float:
        """Seconds until the last chunk, at the pace so far."""
        return (self.last - self.ready) / self.chunks * (self.total - self.chunks) if self.chunks else 0.0

    @property
    def speed(self) -> str:
        """Frames per second, real-time factor and time to first chunk, in words."""
        return (
            f"{self.frames_per_second:.1f} frames/s, {self.real_time_factor:.2f}x real time, "
            f"first chunk after {self.time_to_first_chunk:.1f} s"
        )

    def __str__(self) -> str:
        return f"{self.speed}, {duration(self.remaining)} left"


class Progress:
    """Shows the pace of a run on stderr."""

    def __init__(self, title: str, pace: Pace, show: Show = "auto") -> None:
        self.pace = pace
        self._title = title
        self._show = _on_this_stderr() if show == "auto" else show
        self._bar: Any = None
        self._task: Any = None
        self._next_line = 0.0
        self._path = ""

    def begin(self) -> None:
        """Say that loading begins."""
        if self._show == "bar":
            self._open_bar()
        else:
            self._line("loading")

    def rollout_began(self) -> None:
        """The first chunk is about to be made."""
        self.pace.ready = time.monotonic()

    def chunk_made(self, frames: int) -> None:
        """A chunk has left the device."""
        self.pace.chunk_made(time.monotonic(), frames)

    def chunk_final(self, path: str) -> None:
        """The next chunk is final, having been computed on ``path``: show the pace."""
        pace, now = self.pace, time.monotonic()
        _LOG.info("chunk %d is final after %.3f s (%s)", pace.chunks, now - (pace.last or pace.ready), path)
        pace.chunk_final(now)
        changed, self._path = self._path not in ("", path), path
        if changed:
            self._say(f"chunk {pace.chunks} of {pace.total} is the first that is {path}")
        if self._bar is not None:
            self._bar.update(self._task, completed=pace.chunks, pace=str(pace))
        elif now >= self._next_line or pace.chunks == pace.total:
            self._next_line = now + SECONDS_BETWEEN_LINES
            self._line(f"chunk {pace.chunks} of {pace.total} ({path}), {pace}")

    def _say(self, text: str) -> None:
        """A line beside the bar, or between the lines."""
        if self._bar is None:
            self._line(text)
        else:
            self._bar.console.print(f"{self._title}: {text}", highlight=False)

    def device_is_done(self) -> None:
        """All that was begun is done, on a device that may be behind what it was told."""
        self.pace.last = time.monotonic()

    def end(self, message: str, *, important: bool = False) -> None:
        """Take the bar away and say how it ended; ``important`` is said even where all else is off."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None
        if message and (important or self._show != "off"):
            print(message, file=sys.stderr, flush=True)

    def _line(self, text: str) -> None:
        if self._show != "off":
            print(f"{self._title}: {text}", file=sys.stderr, flush=True)

    def _open_bar(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
        from rich.progress import Progress as RichProgress

        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[pace]}"),
        )
        self._bar = RichProgress(*columns, console=Console(stderr=True), transient=True)
        self._task = self._bar.add_task(self._title, total=self.pace.total, pace="loading")
        self._bar.start()


def duration(seconds: float) -> str:
    """Seconds as ``0:07``, ``12:30`` or ``1:02:03``."""
    minutes, rest = divmod(max(0, round(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def _on_this_stderr() -> Show:
    return "bar" if sys.stderr.isatty() and not environment.wants_plain_text() else "lines"
