"""How fast this machine is now: products, attention and copies, measured where a benchmark was run."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import torch

from flashdreams.core.attention import attention
from flashdreams.engine.quantise import multiplies_float8
from flashdreams.plan.cards import Card
from flashdreams.plan.this_cpu import measure_cpu

_SIDE = 8192
"""Rows and columns of the matrices that a GPU multiplies."""
_TOKENS, _HEADS, _HEAD_DIM = 8192, 16, 128
_COPIED = 2**30
"""Bytes that a GPU copies at a time."""
_SECONDS = 0.5
"""How long each is run before it is timed, and again while it is."""


def measured_card(device: torch.device, dtype: str, *, float8: bool = False) -> Card:
    """The device as a card of the plan, with what it reaches in ``dtype`` now, and in float8 where wanted."""
    if device.type != "cuda":
        return measure_cpu(dtype)
    card = _measure_cuda(device, getattr(torch, dtype))
    return fp8_card(card, device) if float8 and multiplies_float8(device) else card


def _measure_cuda(device: torch.device, dtype: torch.dtype) -> Card:
    square = torch.randn(_SIDE, _SIDE, device=device).to(dtype)
    q, k, v = torch.randn(3, 1, _TOKENS, _HEADS, _HEAD_DIM, device=device).to(dtype).unbind(0)
    source = torch.ones(_COPIED, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    flops = 2 * _SIDE**3 / sustained(lambda: torch.mm(square, square), device)
    attended = 4 * _HEADS * _TOKENS**2 * _HEAD_DIM / sustained(lambda: attention(q, k, v), device)
    copied = 2 * _COPIED / sustained(lambda: target.copy_(source), device)
    about = torch.cuda.get_device_properties(device)
    return Card(
        name=about.name,
        flops=flops,
        bandwidth=copied,
        memory=about.total_memory,
        source=f"measured: products of {_SIDE} x {_SIDE}, attention of {_TOKENS} tokens, copies",
        measured_dtype=str(dtype).removeprefix("torch."),
        attention=attended,
    )


def sustained(run: Callable[[], object], device: torch.device, seconds: float = _SECONDS) -> float:
    """Seconds that ``run`` takes when it is run again and again, at the clocks that a card keeps up.

    Args:
        run: What is timed.
        device: Where it runs.
        seconds: How long it is run before it is timed, and about how long while it is. A card that draws
            more power than it may lowers its clock within tenths of a second.
    """
    settle = partial(torch.cuda.synchronize, device) if device.type == "cuda" else _nothing
    rounds = 1
    while _timed(run, settle, rounds) < seconds:
        rounds *= 2
    return _timed(run, settle, rounds) / rounds


def _timed(run: Callable[[], object], settle: Callable[[], None], rounds: int) -> float:
    """Seconds of so many runs, one after another."""
    settle()
    began = time.perf_counter()
    for _ in range(rounds):
        run()
    settle()
    return time.perf_counter() - began


def fp8_card(card: Card, device: torch.device) -> Card:
    """The card with the rate that its products reach in fp8, one scale a row.

    Raises:
        RuntimeError: The card has no such products.
    """
    square = torch.randn(_SIDE, _SIDE, device=device).to(torch.float8_e4m3fn)
    scale = torch.ones(_SIDE, 1, device=device)

    def product() -> object:
        # Summed as the layers sum (engine/quantise): the other way is slower, and so would be the floor.
        return torch._scaled_mm(
            square, square.t(), scale, scale.t(), out_dtype=torch.bfloat16, use_fast_accum=True
        )

    return replace(card, float8_rate=2 * _SIDE**3 / sustained(product, device) / card.flops)


def _nothing() -> None:
    return None
