"""The profile of a run: where it is asked for, the run is timed, and the result written however it ends."""

from __future__ import annotations

import sys
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from flashdreams.errors import OutputError

if TYPE_CHECKING:
    import torch

    from flashdreams.engine.profiler import Profiler
    from flashdreams.infra.pipeline.execution import Execution


class Profiling:
    """Times a run, writes a trace to ``path`` and a table to stderr; does nothing where ``path`` is None."""

    def __init__(self, path: Path | None, device: torch.device) -> None:
        self.path = path
        self.device = device
        self.profiler: Profiler | None = None

    def timed(self, execution: Execution) -> Execution:
        """An execution that does the same and is timed."""
        if self.path is None:
            return execution
        from flashdreams.engine.clocks import clock_of
        from flashdreams.engine.profiler import ProfiledExecution, Profiler

        self.profiler = Profiler(clock_of(self.device))
        return ProfiledExecution(execution, self.profiler)

    def __enter__(self) -> Profiling:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self.profiler is not None and self.profiler.chunk >= 0:
            try:
                self._write(self.profiler)
            except Exception:
                if error is None:
                    raise

    def _write(self, profiler: Profiler) -> None:
        """Write trace and table.

        Raises:
            OutputError: The disk is full, or failed.
        """
        from flashdreams.engine.profile_report import report, write_trace

        path = self.path or Path()
        try:
            write_trace(profiler, path)
        except OSError as error:
            raise OutputError(
                f"The profile could not be written to {path}: {error.strerror or error}.",
                "The video is not touched by that.",
                "Check the disk, or choose another place with --profile.",
            ) from error
        print(f"{report(profiler)}\nThe trace is in {path}.", file=sys.stderr, flush=True)
