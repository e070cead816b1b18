"""The figures of a benchmark, and what they are called."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from typing import Any

from flashdreams.infra.percentile import percentile


@dataclass(frozen=True)
class Spread:
    """How a time varies, in seconds."""

    p50: float
    p90: float
    p99: float
    jitter: float
    """Mean difference between one and the next."""
    times: int
    """How many were measured."""


def spread(seconds: Sequence[float]) -> Spread:
    """The spread of at least one time."""
    steps = [abs(after - before) for before, after in pairwise(seconds)]
    p50, p90, p99 = (percentile(seconds, share) for share in (0.5, 0.9, 0.99))
    return Spread(p50, p90, p99, statistics.fmean(steps) if steps else 0.0, len(seconds))


@dataclass(frozen=True, kw_only=True)
class Figures:
    """What was measured of a slug. Times are in seconds, memory in bytes."""

    slug: str
    command: str
    """The line that measures it again."""
    date: str
    """The day, as 2026-11-24."""
    machine: str
    versions: dict[str, str]
    config: dict[str, Any]
    """What differs from the slug."""
    size: dict[str, Any]
    """Pixels, dtype, frames of a chunk, window and steps."""
    ttfc_cold: list[float]
    """From starting a process until the first chunk is on the host, process by process."""
    ttfc_warm: list[float]
    """From asking for a rollout until its first chunk is on the host, rollout by rollout."""
    period: Spread
    """From the start of a chunk to the start of the next, finalize included, at full window."""
    sixth_period: float | None
    """The same of the sixth chunk, before the window is full; None where there is none."""
    frames_per_second: float
    """Pixel frames per second, at full window; latent frames where there is no decoder."""
    real_time_factor: float
    """Seconds of video per second, at full window."""
    stages: dict[str, float]
    """Median of each part of a chunk, at full window."""
    paths: dict[str, int]
    """Chunks by how they were computed."""
    peak_memory: int
    """Most bytes held at once: of the process on a CPU, of tensors on a GPU."""
    graphs: int
    """Graphs that were captured."""
    seconds_compiling: float
    """What was spent on compiling."""
    host_time_per_step: float | None
    """Of the host, outside of torch's operators, for each denoising step."""
    floor: float | None
    """The least that the plan says a chunk takes at full window, at the rates measured in this run."""
    sixth_floor: float | None
    """The same for the sixth chunk; None where there is none."""
    rates: dict[str, float] = field(default_factory=dict)
    """Those rates: FLOPs per second of products, of attention and, where there are any, of products in
    float8; and bytes per second."""

    @property
    def of_floor(self) -> float | None:
        """The floor as a share of the median period: 1 is as fast as the plan says it can be."""
        return None if self.floor is None else self.floor / self.period.p50

    def as_dict(self) -> dict[str, Any]:
        """Everything as plain values, for JSON."""
        return {"benchmark": "bench", **asdict(self), "of_floor": self.of_floor}
