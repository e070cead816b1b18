"""The figures of ``flashdreams serve-bench``, made from what the clients saw."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from flashdreams.infra.percentile import percentile

BENCHMARK = "serve-bench"
"""What its figures in JSON call themselves."""

STAGES = {
    "waited_ms": "from the key's arrival to the beginning of its chunk",
    "made_ms": "the making of the chunk",
    "held_ms": "from there to the encoder",
    "encoded_ms": "the encoder; by WebRTC it is part of what follows",
    "travel_ms": "both ways, and decoding",
}
"""Parts of the latency from key to pixel, and what each is."""


@dataclass(frozen=True)
class Quantiles:
    """How a time varies, in milliseconds."""

    p50: float
    p95: float
    p99: float
    times: int
    """How many were measured."""


@dataclass(frozen=True)
class ClientFigures:
    """What one client saw."""

    frames_per_second: float
    share: float
    """Of all frames that all clients saw; 1 for one that is alone."""
    underruns: int
    longest_gap_ms: float
    missed: int
    dropped: int
    stale: int


@dataclass(frozen=True, kw_only=True)
class Figures:
    """What was measured of a server. Times are in milliseconds where nothing else is said."""

    slug: str
    command: str
    """The line that measures it again."""
    date: str
    """The day, as 2026-11-24."""
    machine: str
    versions: dict[str, str]
    size: dict[str, Any]
    """Pixels and frame rate of the model."""
    transport: str
    codec: str
    seconds: float
    """Counted of each client."""
    key_to_pixel: Quantiles | None
    """From setting a control to having decoded the first frame that obeys; None where none was seen."""
    stages: dict[str, Quantiles]
    """The parts of it."""
    clients: list[ClientFigures]
    opened: list[float]
    """From asking for a session until it dreams, client by client."""
    queue_answer: list[float]
    """From a further client's knocking at the full server to its answer, time by time."""
    ready_after: float | None
    """Seconds from starting the server until sessions may begin; None for a server that ran already."""
    first_frame_after: float | None
    """Seconds from there until the first client had decoded its first frame."""

    @property
    def unfairness(self) -> float:
        """How far the client that got most or least is from its equal share, as a part of that."""
        equal = 1 / len(self.clients)
        return max(abs(client.share - equal) for client in self.clients) / equal

    def as_dict(self) -> dict[str, Any]:
        """Everything as plain values, for JSON."""
        return {"benchmark": BENCHMARK, **asdict(self), "unfairness": self.unfairness}


def quantiles(times: Sequence[float]) -> Quantiles | None:
    """The spread of some times; None where there are none."""
    if not times:
        return None
    p50, p95, p99 = (percentile(times, share) for share in (0.5, 0.95, 0.99))
    return Quantiles(p50, p95, p99, len(times))


def spread_of(drives: Sequence[Mapping[str, Any]]) -> tuple[Quantiles | None, dict[str, Quantiles]]:
    """The latency of all clients together, and of its parts."""
    latencies = [each for drive in drives for each in drive["latencies"]]
    parts = {name: [each["stages"][name] for each in latencies if name in each["stages"]] for name in STAGES}
    found = {name: quantiles(times) for name, times in parts.items()}
    return quantiles([each["total"] for each in latencies]), {k: v for k, v in found.items() if v}


def client_figures(drives: Sequence[Mapping[str, Any]]) -> list[ClientFigures]:
    """What each client saw."""
    total = sum(drive["frames"] for drive in drives) or 1
    return [
        ClientFigures(
            frames_per_second=drive["frames"] / drive["seconds"],
            share=drive["frames"] / total,
            **{name: drive[name] for name in ("underruns", "longest_gap_ms", "missed", "dropped", "stale")},
        )
        for drive in drives
    ]
