"""This machine's CPU as a card: a fifth of a second of products and copies."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch

from flashdreams.io.memory import total_host_memory
from flashdreams.plan.cards import THIS_CPU, Card

_SECONDS = 0.1
"""For each of the two measurements."""
_SIDE = 1024
"""Rows and columns of the matrices that are multiplied."""
_COPIED = 2**26
"""Bytes that are copied at a time: more than a cache holds."""


def measure_cpu(dtype: str) -> Card:
    """The CPU as it is now, with as many threads as torch has: products in ``dtype``, and copies."""
    kind = getattr(torch, dtype)
    square = torch.ones(_SIDE, _SIDE, dtype=kind)
    source = torch.ones(_COPIED, dtype=torch.uint8)
    target = torch.empty_like(source)
    return Card(
        name=THIS_CPU,
        flops=2 * _SIDE**3 / _shortest(lambda: torch.mm(square, square)),
        bandwidth=2 * _COPIED / _shortest(lambda: target.copy_(source)),
        memory=total_host_memory() or 0,
        source=f"measured: {dtype} products of {_SIDE} x {_SIDE}, copies of {_COPIED // 2**20} MiB, "
        f"{torch.get_num_threads()} threads",
        kind="cpu",
        measured_dtype=dtype,
        float8_rate=1.0,
    )


def _shortest(run: Callable[[], object]) -> float:
    """Seconds that ``run`` takes at best."""
    run()
    best, end = float("inf"), time.perf_counter() + _SECONDS
    while (began := time.perf_counter()) < end:
        run()
        best = min(best, time.perf_counter() - began)
    return best
