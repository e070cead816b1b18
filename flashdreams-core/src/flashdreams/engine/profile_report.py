"""What a profiler has collected: a table for people, and a trace for chrome://tracing or ui.perfetto.dev."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from flashdreams.engine.profiler import Profiler, Span
from flashdreams.infra.percentile import percentile
from flashdreams.io.memory import binary
from flashdreams.io.outputs import write_text

PERIOD = "chunk period"
ORDER = (PERIOD, "generate", "prepare", "denoise", "decode", "finalize", "write_context")
"""Parts in the order in which a chunk goes through them; others follow."""
WHOLES = (PERIOD, "generate", "finalize", "begin")
"""Parts that others are parts of."""
LANES = ("host", "work", "aside")
HEADER = ("part", "lane", "times", "p50 ms", "p90 ms", "p99 ms", "of period", "host p50 ms")


@dataclass(frozen=True)
class Row:
    """Times of one part, in seconds."""

    name: str
    lane: str
    times: int
    p50: float
    p90: float
    p99: float
    host_p50: float | None
    """How long the host takes to queue it; None where that makes no sense."""


def rows(spans: Iterable[Span]) -> list[Row]:
    """A row for each part of a chunk, and first the chunk period: from one chunk's beginning to the next."""
    made = [span for span in spans if span.chunk >= 0]
    found = {name: [span for span in made if span.name == name] for name in {span.name for span in made}}
    generated = found.get("generate", [])
    periods = [b.start - a.start for a, b in pairwise(generated) if b.chunk == a.chunk + 1]
    table = [_row(PERIOD, "", periods, None)] if periods else []
    for name, group in found.items():
        host = [span.host_seconds for span in group]
        table.append(_row(name, group[0].lane, [span.seconds for span in group], host))
    return sorted(table, key=lambda row: ORDER.index(row.name) if row.name in ORDER else len(ORDER))


def report(profiler: Profiler) -> str:
    """The table, the memory and the paths, for people."""
    found = rows(profiler.spans)
    period = next((row.p50 for row in found if row.name == PERIOD), None)
    lines = _aligned([HEADER, *(_cells(row, period) for row in found)])
    paths = Counter(span.path for span in profiler.spans if span.name == "generate")
    taken = ", ".join(f"{count} {path}" for path, count in paths.items())
    most = binary(profiler.clock.most_bytes_held())
    return "\n".join([*lines, f"Chunks by path: {taken or 'none'}. Most memory held: {most}."])


def chrome_trace(profiler: Profiler) -> dict[str, Any]:
    """All spans and the memory, in the Trace Event Format; times in microseconds."""
    return {"displayTimeUnit": "ms", "traceEvents": [*_lane_names(), *_events(profiler)]}


def write_trace(profiler: Profiler, path: Path) -> None:
    """Write the trace of all that was begun.

    Raises:
        OSError: The disk is full, or failed.
    """
    profiler.drain(wait=True)
    write_text(path, json.dumps(chrome_trace(profiler)), make_folder=True)


def _row(name: str, lane: str, seconds: Sequence[float], host: Sequence[float] | None) -> Row:
    p50, p90, p99 = (percentile(seconds, share) for share in (0.5, 0.9, 0.99))
    return Row(name, lane, len(seconds), p50, p90, p99, percentile(host, 0.5) if host else None)


def _cells(row: Row, period: float | None) -> tuple[str, ...]:
    share = f"{row.p50 / period:.0%}" if period else ""
    host = "" if row.host_p50 is None else _ms(row.host_p50)
    name = row.name if row.name in WHOLES else f"  {row.name}"
    return (name, row.lane, str(row.times), _ms(row.p50), _ms(row.p90), _ms(row.p99), share, host)


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.2f}"


def _aligned(table: Sequence[Sequence[str]]) -> list[str]:
    """Lines of a table, names to the left and numbers to the right."""
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    return [
        "  ".join(
            cell.ljust(width) if column < 2 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in table
    ]


def _lane_names() -> Iterator[dict[str, Any]]:
    for number, lane in enumerate(LANES):
        yield {"name": "thread_name", "ph": "M", "pid": 0, "tid": number, "args": {"name": lane}}


def _events(profiler: Profiler) -> Iterator[dict[str, Any]]:
    for span in profiler.spans:
        about = {"chunk": span.chunk, "path": span.path}
        for lane, start, seconds in (
            (span.lane, span.start, span.seconds),
            ("host", span.host_start, span.host_seconds),
        ):
            times = {"ts": start * 1e6, "dur": seconds * 1e6}
            yield {"name": span.name, "ph": "X", "pid": 0, "tid": LANES.index(lane), **times, "args": about}
    for moment, size in profiler.memory:
        yield {"name": "memory", "ph": "C", "pid": 0, "ts": moment * 1e6, "args": {"bytes": size}}
