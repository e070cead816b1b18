"""The base runner: from the config of a slug to a video on disk."""

from __future__ import annotations

import time
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from flashdreams.engine.cpu_layout import lay_out_for_cpu
from flashdreams.errors import OutputError
from flashdreams.infra.device import check_device, cpu_threads, resolve_device
from flashdreams.infra.runner.capabilities import Capabilities
from flashdreams.infra.runner.config import RunnerConfig
from flashdreams.infra.runner.interrupts import Interrupts
from flashdreams.infra.runner.profiling import Profiling
from flashdreams.infra.runner.progress import Pace, Progress
from flashdreams.infra.runner.recording import Leaving, Recording, RunSummary
from flashdreams.infra.runner.run_record import run_record
from flashdreams.infra.runner.steerable import Steerable
from flashdreams.io.latents import to_array
from flashdreams.io.outputs import (
    LATENTS_SUFFIX,
    check_free,
    check_output,
    check_trace,
    free_output,
    holds_latents,
    record_path,
)
from flashdreams.io.pixels import enlarge, side_by_side

if TYPE_CHECKING:
    from torch import Tensor

    from flashdreams.engine.frames import FrameExit
    from flashdreams.infra.pipeline import StreamInferencePipeline
    from flashdreams.infra.pipeline.rollout import Rollout
    from flashdreams.io.writer import Frames

__all__ = ["Capabilities", "RunSummary", "Runner", "RunnerConfig"]


class Runner(Steerable):
    """Makes the video of a slug and writes it.

    Subclasses say what a rollout begins with (:meth:`conditions`), what steers each chunk
    (:meth:`control`), how people steer (:meth:`steering`), which files they read (:meth:`input_files`) and
    what else belongs in the record (:meth:`record`), or override :meth:`run` wholly. Nothing is built until
    it is needed.
    """

    config: RunnerConfig
    checks_memory: bool = True
    """Whether :meth:`check` refuses what the memory of the device cannot hold."""
    capabilities: ClassVar[Capabilities] = Capabilities()
    """What the videos depend on, and how exactly; tests hold the slug to it."""

    def __init__(self, config: RunnerConfig) -> None:
        self.config = config

    def record(self) -> dict[str, Any]:
        """What else the video is made from, as plain values: asked for before the pipeline is built."""
        return {}

    def input_files(self) -> Iterable[str | Path]:
        """Files that the run reads beside those in the config's fields of type Path, as they are named there.

        The record holds their SHA-256; names that are no files are left out.
        """
        return ()

    def check(self) -> None:
        """Refuse what could not be run: inputs, output, device and its memory. Nothing is loaded or written.

        Raises:
            FlashDreamsError: Something that the user can put right.
        """
        self.claim_output()
        if self.config.profile is not None:
            check_trace(self.config.profile, overwrite=self.config.overwrite)
        check_device(self.config.device)
        _check_graphs(self.config)
        self.conditions()
        self.record()
        if self.checks_memory:
            from flashdreams.plan.fit import check_fits

            check_fits(self.config)

    def run(self) -> RunSummary:
        """Make the video, chunk by chunk, and write each chunk as soon as it is made.

        Raises:
            OutputBrokenOffError: The disk filled up or failed on the way.
            FlashDreamsError: What :meth:`check` refuses; nothing was built or written.
        """
        self.check()
        output = self.claim_output()
        with (
            cpu_threads(self.config.threads) as threads,
            Interrupts() as interrupts,
            self._profiling,
            self._recording(output, threads, interrupts) as recording,
            self._begun() as rollout,
        ):
            recording.begin()
            pipeline = self.pipeline
            chunk = None
            for index in range(self.config.total_blocks):
                chunk = pipeline.generate(index, rollout, input=self.control(index, chunk))
                recording.write(self.leaving(chunk, rollout, output))
                pipeline.finalize(index, rollout)
                recording.chunk_final(rollout.path)
            pipeline.execution.catch_up()
            self._exit.settle()
            recording.device_is_done(pipeline.execution.goes_on)
        return recording.summary()

    @cached_property
    def pipeline(self) -> StreamInferencePipeline:
        """The pipeline on its device, with the plugins' observers attached; built when first asked for."""
        from flashdreams.engine.equip import engine_for
        from flashdreams.plugins.registry import installed_registry

        device = resolve_device(self.config.device)
        _check_graphs(self.config)
        pipeline: StreamInferencePipeline = self.config.effective_pipeline.setup(device=str(device))
        if device.type == "cpu":
            lay_out_for_cpu(pipeline)
        pipeline.observers = installed_registry().observers()
        pipeline.execution = self._profiling.timed(
            engine_for(
                pipeline,
                compile=self.config.compile,
                hot_swap=self.config.hot_swap,
                swap_at=self.config.swap_at,
            )
        )
        return pipeline

    @property
    def is_rank_zero(self) -> bool:
        """Whether this process writes the output."""
        return True

    def warm_up(self, slots: int = 1) -> list[Any]:
        """Make ready what chunks will need, before the first is asked for; see the pipeline's ``warmup``.

        Args:
            slots: Rollouts that will live at once.
        """
        example = type(self)(self.config)  # a driver may change by what it is asked
        controls = [example.control(0, None)]
        return self.pipeline.warmup(conditions=example.conditions(), controls=controls, slots=slots)

    def make_ready(self) -> None:
        """Warm up where the first chunks would be slow without it, unless the run is to start at once."""
        if self.pipeline.execution.needs_warm_up and not self.config.hot_swap:
            self.warm_up()

    def begin_rollout(self) -> Rollout:
        """Begin the rollout that the config describes."""
        return self.pipeline.initialize_cache(**{"seed": self.config.seed, **self.conditions()})

    def leaving(self, chunk: Tensor, rollout: Rollout, output: Path) -> Leaving:
        """Send what of a chunk goes into ``output`` off: its latents, or its pixels as frames."""
        if holds_latents(output):
            departure = self._exit.send(rollout.pending.latents if rollout.pending else chunk)
            return Leaving(lambda: to_array(departure.arrived()), departure.is_here, chunk.shape[2])
        departure = self._exit.send_pixels(chunk)
        return Leaving(lambda: self.frames(departure.arrived().numpy()), departure.is_here, chunk.shape[2])

    def showing(self, chunk: Tensor) -> Leaving:
        """Send the pixels of a chunk off to be looked at: frames as they were made, not enlarged."""
        departure = self._exit.send_pixels(chunk)
        return Leaving(lambda: side_by_side(departure.arrived().numpy()), departure.is_here, chunk.shape[2])

    def frames(self, videos: Frames) -> Frames:
        """The videos of a batch, uint8 ``[B, T, H, W, 3]``, as frames of one, uint8 ``[T, H, W, 3]``.

        They stand side by side, and ``scale`` enlarges them.
        """
        return enlarge(side_by_side(videos), self.config.scale)

    def claim_output(self) -> Path:
        """The path to write: the one asked for, or a free one named by slug and seed.

        Raises:
            OutputError: It cannot be written, or would replace something unasked.
        """
        config = self.config
        if config.output is None:
            suffix = ".mp4" if config.pipeline.decoder else LATENTS_SUFFIX
            output = free_output(config.output_dir, f"{config.runner_name}-seed{config.seed}", suffix)
        else:
            output = config.output
        check_output(output, overwrite=config.overwrite)
        check_free(record_path(output), overwrite=config.overwrite)
        if config.pipeline.decoder is None and not holds_latents(output):
            raise OutputError(
                f"The output is {output}, and the pipeline has no decoder.",
                "Without a decoder there are latents, and no frames.",
                f"Name it {output.with_suffix(LATENTS_SUFFIX).name}, or give the pipeline a decoder.",
            )
        return output

    def _begun(self) -> Rollout:
        self.make_ready()
        return self.begin_rollout()

    @cached_property
    def _exit(self) -> FrameExit:
        from flashdreams.engine.frames import frame_exit

        return frame_exit(self.pipeline.device)

    @cached_property
    def _profiling(self) -> Profiling:
        return Profiling(self.config.profile, resolve_device(self.config.device))

    def _recording(self, output: Path, threads: int, interrupts: Interrupts) -> Recording:
        config = self.config
        device = str(resolve_device(config.device))
        record = run_record(
            config, device=device, threads=threads, read=self.input_files(), further=self.record()
        )
        pace = Pace(fps=config.fps, total=config.total_blocks, began=time.monotonic())
        title = f"{config.runner_name} on {device}"
        return Recording(output, config, record, Progress(title, pace, config.progress), interrupts)


def _check_graphs(config: RunnerConfig) -> None:
    wanted = config.effective_pipeline.diffusion_model.transformer.use_cuda_graph
    if wanted is True:
        from flashdreams.engine.graphs.choice import check_mode

        check_mode(resolve_device(config.device), wanted)
