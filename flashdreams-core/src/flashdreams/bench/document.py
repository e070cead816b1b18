"""Figures as a table for people, as a document, and beside others."""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from flashdreams.bench.figures import Figures
from flashdreams.cli.console import counted, markdown_table, table
from flashdreams.engine.profile_report import PERIOD
from flashdreams.io.memory import binary

P90_TIMES, P99_TIMES = 20, 100
"""Times from which on p90 and p99 tell more than what the slowest few of them were."""

Row = tuple[str, str, str]
"""What, how much, and what it means."""


@dataclass(frozen=True)
class Comparable:
    """A figure that two runs can be compared by."""

    name: str
    read: Callable[[Mapping[str, Any]], float | None]
    """From the figures as JSON; None where it was not measured."""
    unit: float = 1e-3
    """What it is divided by to be shown."""


def _median(values: list[float]) -> float | None:
    return statistics.median(values) if values else None


COMPARABLE = (
    Comparable("first chunk, cold, ms", lambda f: _median(f["ttfc_cold"])),
    Comparable("first chunk, warm, ms", lambda f: _median(f["ttfc_warm"])),
    Comparable("chunk period p50, ms", lambda f: f["period"]["p50"]),
    Comparable("chunk period p90, ms", lambda f: f["period"]["p90"]),
    Comparable("chunk period p99, ms", lambda f: f["period"]["p99"]),
    Comparable("sixth chunk, ms", lambda f: f["sixth_period"]),
    Comparable("frames per second", lambda f: f["frames_per_second"], 1.0),
    Comparable("host time of a step, ms", lambda f: f["host_time_per_step"]),
    Comparable("peak memory, MiB", lambda f: f["peak_memory"], 2**20),
    Comparable("share of the floor", lambda f: f["of_floor"], 1.0),
)
"""What is compared."""


def people_table(figures: Figures) -> str:
    """All figures, for people."""
    size = figures.size
    head = (
        f"{figures.slug} on {figures.machine}: {size['width']} x {size['height']} pixels, {size['dtype']}, "
        f"{_chunk_words(size)}"
    )
    return f"{head}\n\n{table(('FIGURE', 'VALUE', 'WHAT IT IS'), list(rows_of(figures)))}"


def rows_of(figures: Figures) -> Iterator[Row]:
    """Name, value and meaning of each figure."""
    period, cold, warm = figures.period, _median(figures.ttfc_cold), _median(figures.ttfc_warm)
    if cold is not None:
        yield "first chunk, cold", seconds(cold), f"new process, median of {len(figures.ttfc_cold)}"
    if warm is not None:
        yield "first chunk, warm", seconds(warm), f"new rollout, median of {len(figures.ttfc_warm)}"
    yield "chunk period, p50", seconds(period.p50), f"finalize included, {period.times} at full window"
    yield "chunk period, p90", seconds(period.p90), _few(period.times, P90_TIMES)
    yield "chunk period, p99", seconds(period.p99), _few(period.times, P99_TIMES)
    yield "jitter", seconds(period.jitter), "mean difference from one period to the next"
    if figures.sixth_period is not None:
        yield "sixth chunk", seconds(figures.sixth_period), "its period, before the window is full"
    yield "frames per second", f"{figures.frames_per_second:.2f}", "sustained at full window"
    yield "real-time factor", f"{figures.real_time_factor:.2f}", "seconds of video per second"
    for name, value in figures.stages.items():
        if name == PERIOD:
            yield f"profiled {name}", seconds(value), "of a second run, slowed by the profiler; as its parts"
        else:
            yield f"  {name}", seconds(value), "median, profiled" if name == "generate" else ""
    yield from _engine_rows(figures)


def _few(times: int, enough: int) -> str:
    """A word of caution where a percentile is of so few times that it is hardly one."""
    return "" if times >= enough else f"of {counted(times, 'time')} only: near the slowest"


def _engine_rows(figures: Figures) -> Iterator[Row]:
    yield "peak memory", binary(figures.peak_memory), ""
    paths = ", ".join(f"{count} {path}" for path, count in figures.paths.items())
    yield "path", paths, "of the chunks at full window"
    yield "graphs captured", str(figures.graphs), ""
    yield "seconds compiling", f"{figures.seconds_compiling:.1f}", ""
    if figures.host_time_per_step is not None:
        yield "host time of a step", seconds(figures.host_time_per_step), "outside of torch's operators"
    if figures.floor is not None and figures.of_floor is not None:
        yield "floor of the plan", seconds(figures.floor), f"at {_rates(figures)}, measured in this run"
        yield "share of the floor", f"{figures.of_floor:.2f}", "1 is as fast as the plan says it can be"


def _rates(figures: Figures) -> str:
    """The rates of the floor in words, those that differ from the products'."""
    rates = figures.rates
    words = [f"{rates['flops'] / 1e9:.0f} GFLOP/s"]
    for name in ("attention", "float8"):
        if rates.get(name, rates["flops"]) != rates["flops"]:
            words.append(f"{rates[name] / 1e9:.0f} in {name}")
    return ", ".join([*words, f"{rates['bandwidth'] / 1e9:.1f} GB/s"])


def comparison(before: Mapping[str, Any], now: Figures) -> str:
    """Two runs side by side, with the ratio of the second to the first."""
    held, rows = now.as_dict(), []
    for each in COMPARABLE:
        old, new = each.read(before), each.read(held)
        if old is not None and new is not None:
            ratio = f"{new / old:.2f}" if old else ""
            rows.append((each.name, f"{old / each.unit:.2f}", f"{new / each.unit:.2f}", ratio))
    title = f"against {before['slug']} of {before['date']} on {before['machine']}"
    sides = table(("FIGURE", "BEFORE", "NOW", "RATIO"), rows)
    return "\n\n".join(filter(None, [title, sides, _caution(before["period"], held["period"])]))


def _caution(old: Mapping[str, float], new: Mapping[str, float]) -> str:
    """What is to be said where the chunk periods differ by less than those of one run do."""
    difference = abs(new["p50"] - old["p50"])
    widest = max(each["p90"] - each["p50"] for each in (old, new))
    if widest <= difference:
        return ""
    return (
        f"The chunk periods differ by {seconds(difference)} at p50, and within one of the runs by "
        f"{seconds(widest)} from p50 to p90:\nso small a difference may be chance. Measure more chunks, "
        "with nothing else running, to be sure."
    )


def document(figures: Figures, compared: str = "") -> str:
    """A page of docs/benchmarks: what was run, the tables, and the JSON as its last line."""
    blocks = [
        f"# {figures.slug}, {figures.date}",
        f"{_sentence(figures)} Seconds are of the clock on the wall.",
        f"```sh needs: hours\n{figures.command}\n```",
        markdown_table(("figure", "value", "what it is"), list(rows_of(figures))),
    ]
    if compared:
        blocks.append("\n".join(f"    {line}".rstrip() for line in compared.splitlines()))
    return "\n\n".join([*blocks, f"    {last_line(figures)}"]) + "\n"


def last_line(figures: Figures) -> str:
    """All figures as one line of JSON."""
    return json.dumps(figures.as_dict())


def seconds(value: float) -> str:
    """A time for people: ``1.23 s``, ``45.6 ms``, ``789 us``."""
    for unit, size in (("s", 1.0), ("ms", 1e-3)):
        if value >= size:
            return f"{value / size:.3g} {unit}"
    return f"{value / 1e-6:.3g} us"


def _chunk_words(size: Mapping[str, Any]) -> str:
    frames, steps = counted(size["frames_of_chunk"], "pixel frame"), counted(size["steps"], "step")
    return f"{frames} a chunk in {steps}"


def _sentence(figures: Figures) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in figures.versions.items())
    size = figures.size
    return (
        f"{figures.machine}; {versions}. {size['width']} x {size['height']} pixels, {size['dtype']}, "
        f"{_chunk_words(size)}, a window of {counted(size['window'], 'latent frame')}."
    )
