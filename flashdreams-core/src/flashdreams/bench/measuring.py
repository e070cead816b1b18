"""Measures a slug: all figures of ``flashdreams bench`` in one process, but for cold starts."""

from __future__ import annotations

import datetime
import statistics
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import torch

from flashdreams.bench.driving import Drive, Driver
from flashdreams.bench.figures import Figures, spread
from flashdreams.bench.floors import floor_at
from flashdreams.bench.host_time import host_time
from flashdreams.bench.rates import measured_card
from flashdreams.cli.console import counted
from flashdreams.engine.clocks import clock_of
from flashdreams.engine.profile_report import rows
from flashdreams.engine.profiler import ProfiledExecution, Profiler
from flashdreams.infra.config import derive_config
from flashdreams.infra.device import cpu_threads
from flashdreams.infra.runner.run_record import run_record
from flashdreams.plan import plan_of

if TYPE_CHECKING:
    from flashdreams.infra.pipeline.rollout import Rollout
    from flashdreams.infra.runner.config import RunnerConfig
    from flashdreams.plan.cards import Card
    from flashdreams.plan.figures import Plan

SIXTH = 5
"""Index of the chunk at which others publish their chunk period."""


WARM_ROLLOUTS = 5
"""Rollouts whose first chunk is timed."""
HOST_TIMES = 10
"""Runs of the denoising loop under torch's profiler."""


def measure(
    config: RunnerConfig, *, chunks: int = 30, command: str = "", cold: Sequence[float] = ()
) -> Figures:
    """Measure a slug on the device that its config names.

    Args:
        config: Of the slug, as it would be run.
        chunks: Chunks to measure at full window.
        command: The line that measures it again.
        cold: Seconds that cold starts took, measured elsewhere.

    Raises:
        FlashDreamsError: What ``flashdreams run`` refuses.
    """
    with cpu_threads(config.threads) as threads:
        return _Measurement(config, chunks, threads).figures(command, list(cold))


class _Measurement:
    """One slug, loaded once."""

    def __init__(self, config: RunnerConfig, chunks: int, threads: int) -> None:
        self.chunks = chunks
        self.config = config
        self.threads = threads
        self.plan = plan_of(config)
        self.full = self.plan.size.window // self.plan.size.chunk - 1
        self.driver = Driver(derive_config(config, total_blocks=self._chunks(self.full + chunks + 1)))

    def figures(self, command: str, cold: list[float]) -> Figures:
        """Measure everything."""
        pipeline, clock = self.driver.pipeline, clock_of(self.driver.pipeline.device)
        self.driver.drive(self._chunks(self.full + 2))  # whatever happens once, happens here
        early = [self.driver.drive(self._chunks(SIXTH + 1), last_apart=True) for _ in range(WARM_ROLLOUTS)]
        late = self._late()
        peak_memory = clock.most_bytes_held()  # before what is measured with takes memory of its own
        host_times: list[float] = []
        if self.full:
            self.driver.drive(self.full, lambda rollout: host_times.extend(self._hosts(rollout)))
        float8 = self.config.effective_pipeline.quantise == "fp8"
        card = measured_card(pipeline.device, self.plan.size.dtype, float8=float8)
        counted = slice(self.full, self.full + self.chunks)
        periods = [period for drive in late for period in drive.periods[counted]]
        frames = [count for drive in late for count in drive.frames[counted]]
        rate = sum(frames) / sum(periods)
        engine = self.driver.engine
        return Figures(
            **self._about(command),
            ttfc_cold=cold,
            ttfc_warm=[drive.first_chunk for drive in early],
            period=spread(periods),
            sixth_period=self._sixth(early),
            frames_per_second=rate,
            real_time_factor=rate / self.config.fps if pipeline.decoder else 0.0,
            stages=self._stages(),
            paths=dict(Counter(path for drive in late for path in drive.paths[counted])),
            peak_memory=peak_memory,
            graphs=len(engine.graphs.captures) if engine and engine.graphs else 0,
            seconds_compiling=engine.compiled.seconds_compiling if engine and engine.compiled else 0.0,
            host_time_per_step=statistics.median(host_times) if host_times else None,
            floor=floor_at(self.plan, card, self.full),
            sixth_floor=floor_at(self.plan, card, SIXTH) if self.full > SIXTH else None,
            rates=_rates(card, float8=float8),
        )

    def _chunks(self, wanted: int) -> int:
        """So many chunks, or one where that is the whole clip."""
        return wanted if self.full else 1

    def _late(self) -> list[Drive]:
        """Rollouts that give as many chunks at full window as are wanted, and one that is not counted.

        The period of a rollout's last chunk ends when all is done, and so may hold two finalizes.
        """
        if self.full:
            return [self.driver.drive(self.full + self.chunks + 1)]
        return [self.driver.drive(1) for _ in range(self.chunks)]

    def _sixth(self, drives: list[Drive]) -> float | None:
        """Its period at the median: what went before is done, and nothing comes after that could overlap."""
        if self.full <= SIXTH:
            return None
        return statistics.median(drive.periods[SIXTH] for drive in drives)

    def _stages(self) -> dict[str, float]:
        """Median of each part of a chunk; a rollout of its own, since looking takes time."""
        pipeline = self.driver.pipeline
        inner, profiler = pipeline.execution, Profiler(clock_of(pipeline.device))
        pipeline.execution = ProfiledExecution(inner, profiler)
        try:
            self.driver.drive(self._chunks(self.full + max(2, self.chunks // 3)))
        finally:
            pipeline.execution = inner
        profiler.drain(wait=True)
        return {row.name: row.p50 for row in rows(s for s in profiler.spans if s.chunk >= self.full)}

    def _hosts(self, rollout: Rollout) -> Iterator[float]:
        """Host time of a denoising step, measured again and again on the chunk that comes next."""
        pipeline = self.driver.pipeline
        index = rollout.next_index
        pipeline.generate(index, rollout, input=self.driver.runner.control(index, None))
        steps = len(pipeline.diffusion_model.scheduler.timesteps)

        def loop() -> None:
            with pipeline.execution.work():
                pipeline.execution.run(pipeline.stages.denoise, rollout.slot)

        with torch.no_grad():
            for _ in range(HOST_TIMES):
                yield host_time(loop).outside / steps

    def _about(self, command: str) -> dict[str, Any]:
        device = self.driver.pipeline.device
        record = run_record(self.config, device=str(device), threads=self.threads)
        return {
            "slug": self.config.runner_name,
            "command": command,
            "date": datetime.date.today().isoformat(),
            "machine": described(device, self.threads),
            "versions": record["versions"],
            "config": record["config"] or {},
            "size": _size(self.plan),
        }


def described(device: torch.device, threads: int) -> str:
    """A device in words."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{device.type}, {torch.backends.cpu.get_cpu_capability()}, {counted(threads, 'thread')}"


def _rates(card: Card, *, float8: bool) -> dict[str, float]:
    """What the floor was computed from."""
    rates = {"flops": card.flops, "bandwidth": card.bandwidth, "attention": card.attention or card.flops}
    return {**rates, "float8": card.flops * card.float8_rate} if float8 else rates


def _size(plan: Plan) -> dict[str, Any]:
    size = plan.size
    return {
        "width": size.width,
        "height": size.height,
        "dtype": size.dtype,
        "frames_of_chunk": size.frames,
        "chunk": size.chunk,
        "window": size.window,
        "steps": size.steps,
    }
