"""A slug driven chunk by chunk, as a run drives it, with the time of every chunk."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING

from flashdreams.engine.engine import Engine
from flashdreams.engine.frames import FrameExit, frame_exit
from flashdreams.engine.profiler import ProfiledExecution
from flashdreams.errors import UsageError
from flashdreams.infra.runner.base import Runner

if TYPE_CHECKING:
    from flashdreams.infra.pipeline import StreamInferencePipeline
    from flashdreams.infra.pipeline.rollout import Rollout
    from flashdreams.infra.runner.config import RunnerConfig


@dataclass
class Drive:
    """What one rollout took. Moments are in seconds of one clock."""

    began: float
    """When the rollout was asked for."""
    starts: list[float] = field(default_factory=list)
    """When each chunk was asked for."""
    arrivals: list[float] = field(default_factory=list)
    """When each chunk had arrived on the host."""
    frames: list[int] = field(default_factory=list)
    """Frames of each chunk."""
    paths: list[str] = field(default_factory=list)
    """How each chunk was computed."""
    ended: float = 0.0
    """When all was done, the last finalize included."""

    @property
    def first_chunk(self) -> float:
        """Seconds from asking for the rollout until its first chunk had arrived."""
        return self.arrivals[0] - self.began

    @property
    def periods(self) -> list[float]:
        """Seconds from the start of each chunk to the start of the next, finalize included."""
        return [after - before for before, after in pairwise([*self.starts, self.ended])]


class Driver:
    """Drives rollouts of one runner.

    Raises:
        UsageError: The runner is none of core's, and makes its video in a way of its own.
    """

    def __init__(self, config: RunnerConfig) -> None:
        runner = config.setup()
        if not isinstance(runner, Runner) or type(runner).run is not Runner.run:
            raise UsageError(
                f"{config.runner_name} makes its video in a run() of its own.",
                "Chunks are measured where core's Runner makes them.",
                "Measure another slug; `flashdreams run` says how fast this one is as a whole.",
            )
        self.runner: Runner = runner

    @property
    def pipeline(self) -> StreamInferencePipeline:
        """The pipeline, built and loaded when first asked for."""
        return self.runner.pipeline

    @property
    def engine(self) -> Engine | None:
        """What runs the chunks, also where it is profiled; None where a runner has a way of its own."""
        execution = self.pipeline.execution
        inner = execution.inner if isinstance(execution, ProfiledExecution) else execution
        return inner if isinstance(inner, Engine) else None

    def drive(
        self, chunks: int, after: Callable[[Rollout], None] | None = None, *, last_apart: bool = False
    ) -> Drive:
        """Make a rollout of so many chunks.

        As in a run, graphs are made ready first where the engine needs it.

        Args:
            chunks: How many.
            after: Called with the rollout at the end.
            last_apart: Whether the last chunk is asked for when all before it is done, so that its period is
                its own. Otherwise a GPU may then still be finalizing the chunk before, and the last period,
                which ends when all is done, holds two finalizes.
        """
        self.runner.make_ready()
        way_out = frame_exit(self.pipeline.device)
        drive = Drive(began=time.perf_counter())
        with self.runner.begin_rollout() as rollout:
            self._chunks(rollout, chunks, way_out, drive, last_apart)
            self._settle(way_out)
            drive.ended = time.perf_counter()
            if after is not None:
                after(rollout)
        return drive

    def _settle(self, way_out: FrameExit) -> None:
        """Wait until all that was asked for is done."""
        self.pipeline.execution.catch_up()
        way_out.settle()

    def _chunks(
        self, rollout: Rollout, chunks: int, way_out: FrameExit, drive: Drive, last_apart: bool
    ) -> None:
        pipeline, runner = self.pipeline, self.runner
        send = way_out.send if pipeline.decoder is None else way_out.send_pixels
        chunk = None
        for index in range(chunks):
            if last_apart and index == chunks - 1:
                self._settle(way_out)
            drive.starts.append(time.perf_counter())
            chunk = pipeline.generate(index, rollout, input=runner.control(index, chunk))
            departure = send(chunk)
            if departure.is_here:
                drive.arrivals.append(time.perf_counter())
            pipeline.finalize(index, rollout)
            if not departure.is_here:
                departure.arrived()
                drive.arrivals.append(time.perf_counter())
            drive.frames.append(chunk.shape[2])
            drive.paths.append(rollout.path)
