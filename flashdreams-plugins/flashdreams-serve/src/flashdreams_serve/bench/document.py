"""Figures as a table for people, and as a document."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterator
from typing import TypeAlias

from flashdreams.cli.console import counted, markdown_table, table
from flashdreams_serve.bench.driving import UNDERRUN
from flashdreams_serve.bench.figures import STAGES, Figures, Quantiles

SpreadRow: TypeAlias = tuple[str, str, str, str, str]
Row: TypeAlias = tuple[str, str, str]

_SPREAD = ("KEY TO PIXEL, ms", "p50", "p95", "p99", "WHAT IT IS")
_CLIENT = ("CLIENT", "frames/s", "share", "underruns", "longest gap", "missed", "dropped", "stale")
_OTHER = ("FIGURE", "VALUE", "WHAT IT IS")


def people_table(figures: Figures) -> str:
    """All figures, for people."""
    head = f"{figures.slug}, {_setting(figures)}"
    tables = [
        table(_SPREAD, list(_spread_rows(figures))),
        table(_CLIENT, list(_client_rows(figures))),
        table(_OTHER, list(_other_rows(figures))),
    ]
    return "\n\n".join([head, *tables])


def document(figures: Figures) -> str:
    """A page of docs/benchmarks: what was run, the tables, and the JSON as its last line."""
    versions = ", ".join(f"{name} {version}" for name, version in figures.versions.items())
    blocks = [
        f"# {figures.slug}, served, {figures.date}",
        f"{figures.machine}; {versions}. {_setting(figures)}.",
        f"```sh needs: hours\n{figures.command}\n```",
        markdown_table(_SPREAD, list(_spread_rows(figures))),
        markdown_table(_CLIENT, list(_client_rows(figures))),
        markdown_table(_OTHER, list(_other_rows(figures))),
        f"    {last_line(figures)}",
    ]
    return "\n\n".join(blocks) + "\n"


def last_line(figures: Figures) -> str:
    """All figures as one line of JSON."""
    return json.dumps(figures.as_dict())


def _setting(figures: Figures) -> str:
    size, clients = figures.size, counted(len(figures.clients), "client")
    how = "WebRTC" if figures.transport == "webrtc" else f"WebSocket with {figures.codec}"
    return (
        f"{clients} by {how} for {figures.seconds:g} s, {size['width']} x {size['height']} pixels "
        f"at {size['fps']:.2f} frames a second"
    )


def _spread_rows(figures: Figures) -> Iterator[SpreadRow]:
    if figures.key_to_pixel is None:
        yield ("all of it", "", "", "", "no key was seen to be obeyed")
        return
    times = figures.key_to_pixel.times
    presses = "1 key press" if times == 1 else f"{times} key presses"
    yield ("all of it", *_numbers(figures.key_to_pixel), f"until the frame is decoded, from {presses}")
    for name, spread in figures.stages.items():
        yield (f"  {name.removesuffix('_ms')}", *_numbers(spread), STAGES[name])


def _numbers(spread: Quantiles) -> tuple[str, str, str]:
    return (f"{spread.p50:.1f}", f"{spread.p95:.1f}", f"{spread.p99:.1f}")


def _client_rows(figures: Figures) -> Iterator[tuple[str, ...]]:
    for number, each in enumerate(figures.clients, 1):
        counts = (str(count) for count in (each.missed, each.dropped, each.stale))
        rate, share, gap = (
            f"{each.frames_per_second:.2f}",
            f"{each.share:.1%}",
            f"{each.longest_gap_ms:.0f} ms",
        )
        yield (str(number), rate, share, str(each.underruns), gap, *counts)


def _other_rows(figures: Figures) -> Iterator[Row]:
    if len(figures.clients) > 1:
        yield "unfairness", f"{figures.unfairness:.1%}", "farthest that a client is from an equal share"
    yield (
        "underruns",
        str(sum(each.underruns for each in figures.clients)),
        f"gaps of {UNDERRUN} frame periods",
    )
    yield "session opened", _ms(figures.opened), "from asking for it until it dreams, median"
    if figures.queue_answer:
        yield "queue answer", _ms(figures.queue_answer), "of the full server, median"
        yield "queue answer, slowest", f"{max(figures.queue_answer):.1f} ms", ""
    if figures.ready_after is not None:
        yield "server ready", f"{figures.ready_after:.2f} s", "from its start"
    if figures.first_frame_after is not None:
        yield "first frame", f"{figures.first_frame_after:.2f} s", "from the start of the server, decoded"


def _ms(times: list[float]) -> str:
    return f"{statistics.median(times):.1f} ms"
