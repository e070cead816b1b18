"""Writes a video while it is made, and sees to it that something playable is left however that ends."""

from __future__ import annotations

import errno
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from flashdreams.errors import OutputBrokenOffError
from flashdreams.infra.runner.config import RunnerConfig
from flashdreams.infra.runner.interrupts import Interrupts, Stopped
from flashdreams.infra.runner.progress import Progress
from flashdreams.infra.runner.run_record import write_record
from flashdreams.io.latents import LatentsWriter
from flashdreams.io.outputs import exists_already, holds_latents, record_path
from flashdreams.io.video import open_video
from flashdreams.io.writer import Array, Writer


@dataclass(frozen=True)
class Leaving:
    """A chunk on its way to the output."""

    arrived: Callable[[], Array]
    """Waits for it: frames, uint8 ``[T, H, W, 3]``, or latents."""
    is_here: bool
    """Whether there is nothing to wait for."""
    pixel_frames: int
    """Pixel frames of the chunk."""


@dataclass(frozen=True, kw_only=True)
class RunSummary:
    """What a run has made."""

    output: Path
    """The file, or the folder of PNG frames."""
    record: Path
    """The record beside it, from which it can be made again."""
    chunks: int
    """Chunks made."""
    frames: int
    """Frames written; latent frames where the output holds latents."""
    time_to_first_chunk: float
    """Seconds from the beginning of the run, loading included, to the first chunk."""
    frames_per_second: float
    """Frames made per second, loading left out."""
    real_time_factor: float
    """Seconds of video made per second."""


class Recording:
    """The output of one run: file, record and progress. Opened at the first chunk, closed by ``with``."""

    def __init__(
        self,
        output: Path,
        config: RunnerConfig,
        record: Mapping[str, Any],
        progress: Progress,
        interrupts: Interrupts,
    ) -> None:
        self.output = output
        self.record_path = record_path(output)
        self.progress = progress
        self._config = config
        self._record = record
        self._interrupts = interrupts
        self._writer: Writer | None = None
        self._leaving: deque[Leaving] = deque()
        self._paths: list[dict[str, Any]] = []
        self._goes_on = ""

    def begin(self) -> None:
        """Loading is over, and the first chunk is about to be made."""
        self.progress.rollout_began()

    def write(self, chunk: Leaving) -> None:
        """Append a chunk that is on its way: at once where it is here already.

        One that is not is waited for when the next has been begun, so that a device is never idle meanwhile;
        only the first is waited for at once, because someone waits for it.

        Raises:
            OutputError: Another run has taken the name of the output meanwhile.
            OutputBrokenOffError: The disk is full, or failed.
        """
        self._leaving.append(chunk)
        self._write_but(0 if chunk.is_here or self._writer is None else 1)

    def device_is_done(self, goes_on: str = "") -> None:
        """Whatever was begun is done, but for what ``goes_on`` behind: write the rest."""
        self._goes_on = goes_on
        self.progress.device_is_done()
        self._write_but(0)

    def _write_but(self, count: int) -> None:
        """Write what is on its way, but for the last ``count`` chunks."""
        while len(self._leaving) > count:
            array = self._leaving[0].arrived()
            with self._interrupts.held():
                self.progress.chunk_made(self._leaving.popleft().pixel_frames)
                self._write(array)

    def _write(self, array: Array) -> None:
        try:
            if self._writer is None:
                self._writer = self._open(array)
                begun = {"output": self.output.name, "finished": False}
                write_record(self.record_path, self._repeatable, begun)
            self._writer.write(array)
        except FileExistsError as error:  # another run took the name after it was checked
            raise exists_already(self.output) from error
        except OSError as error:
            raise self._broken_off(error) from error

    def chunk_final(self, path: str) -> None:
        """The next chunk is final, having been computed on ``path``."""
        if not self._paths or self._paths[-1]["path"] != path:
            self._paths.append({"path": path, "first_chunk": self.progress.pace.chunks, "chunks": 0})
        self._paths[-1]["chunks"] += 1
        self.progress.chunk_final(path)

    def summary(self) -> RunSummary:
        """What has been made."""
        pace = self.progress.pace
        return RunSummary(
            output=self.output,
            record=self.record_path,
            chunks=pace.chunks,
            frames=self._frames,
            time_to_first_chunk=pace.time_to_first_chunk,
            frames_per_second=pace.frames_per_second,
            real_time_factor=pace.real_time_factor,
        )

    def __enter__(self) -> Recording:
        self.progress.begin()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        with self._interrupts.held():
            if error is None:
                self._finish()
            else:
                self._save(error)

    def _open(self, array: Array) -> Writer:
        overwrite = self._config.overwrite
        if holds_latents(self.output):
            return LatentsWriter(self.output, overwrite=overwrite)
        _, height, width, _ = array.shape
        return open_video(self.output, fps=self._config.fps, height=height, width=width, overwrite=overwrite)

    def _finish(self) -> None:
        try:
            self._close()
            write_record(self.record_path, self._repeatable, self._made(finished=True))
        except OSError as error:
            broken_off = self._broken_off(error)
            self._save(broken_off)
            raise broken_off from error
        self.progress.end(f"{self._contents} {self.progress.pace.speed}. {self._goes_on}".rstrip())

    def _save(self, error: BaseException) -> None:
        """Leave what was made in a state that can be played, and say so."""
        with suppress(Exception):  # the device or the disk may be why it ended
            self._write_but(0)
        with suppress(OSError):  # the disk is why it ended, or it does not matter any more
            self._close()
        with suppress(OSError):
            if self._writer is not None:
                made = self._made(finished=False)
                write_record(self.record_path, self._repeatable, {**made, "stopped_by": _cause(error)})
        bad_input = self._writer is None and isinstance(error, Exception)
        self.progress.end(
            "" if bad_input else f"Stopped by {_cause(error)}: {self._contents}", important=True
        )

    def _close(self) -> None:
        if self._writer is not None:
            self._writer.close()

    @property
    def _repeatable(self) -> dict[str, Any]:
        """The record. A repetition goes over to compiled code where this run did, or stays as it was."""
        record = dict(self._record)
        if self._config.hot_swap:
            compiled = [run["first_chunk"] for run in self._paths if run["path"].startswith("compiled")]
            swap_at = compiled[0] if compiled else "never"
            record["config"] = {**(record.get("config") or {}), "swap_at": swap_at}
        return record

    @property
    def _frames(self) -> int:
        return 0 if self._writer is None else self._writer.frames

    @property
    def _contents(self) -> str:
        kind = "latent frames" if holds_latents(self.output) else "frames"
        return f"{self._frames} {kind} are in {self.output}." if self._frames else "nothing was made."

    def _made(self, *, finished: bool) -> dict[str, Any]:
        return {
            "output": self.output.name,
            "finished": finished,
            "chunks": self.progress.pace.chunks,
            "frames": self._frames,
            **({"paths": self._paths} if self._paths else {}),
        }

    def _broken_off(self, error: OSError) -> OutputBrokenOffError:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        return OutputBrokenOffError(
            f"{self.output} could not be written to its end: {error.strerror or error}.",
            "What was written before can be used.",
            "Make room, and run it again." if full else "Check the disk, or choose another with --output.",
        )


def _cause(error: BaseException) -> str:
    if isinstance(error, KeyboardInterrupt):
        return "Ctrl-C"
    if isinstance(error, OutputBrokenOffError):
        return "the disk"
    return error.signal_name if isinstance(error, Stopped) else type(error).__name__
