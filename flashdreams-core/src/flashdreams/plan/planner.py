"""From a config to its plan: a skeleton is built, rehearsed and counted."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch

from flashdreams.errors import FlashDreamsError
from flashdreams.infra import state_tree
from flashdreams.infra.pipeline.base import StreamInferencePipeline
from flashdreams.infra.runner.base import Runner
from flashdreams.infra.runner.config import RunnerConfig
from flashdreams.io.memory import resident_memory
from flashdreams.plan.cards import Card
from flashdreams.plan.counting import memory_of, passes_of
from flashdreams.plan.figures import CUDA_RUNTIME, OnCard, Plan, Size
from flashdreams.plan.held import weights_of
from flashdreams.plan.rehearsal import Given, Rehearsal

RUNTIME = 340 * 2**20
"""Bytes of a process that has loaded Python, torch and a model's code, where that cannot be measured."""
KERNELS = 40 * 2**20
"""Bytes of libraries that are touched first when kernels run and a video is written: 20 to 70 MiB were
measured."""


def plan_of(
    config: RunnerConfig,
    *,
    batch_size: int | None = None,
    cards: Iterable[Card] = (),
    memory_only: bool = False,
) -> Plan:
    """What a slug needs. No weights are read or downloaded, and no GPU is needed.

    Args:
        config: The config of a slug, as it would be run.
        batch_size: Videos side by side; as many as the slug makes where None.
        cards: Cards of which to say how fast they can be at best, and whether it fits.
        memory_only: Whether the work may be left incomplete, in less than half the time.

    Raises:
        FlashDreamsError: The config cannot be built, or the model refuses its size.
    """
    pipeline: StreamInferencePipeline = config.effective_pipeline.setup(device="meta")
    weights = weights_of(pipeline)
    runtime = (resident_memory() or RUNTIME) + KERNELS
    rehearsal = _rehearsed(config, pipeline, batch_size, memory_only)
    memory = memory_of(rehearsal, weights, runtime)
    plan = Plan(
        slug=config.runner_name,
        size=_size(config, pipeline, rehearsal),
        weights=weights,
        memory=memory,
        passes=passes_of(pipeline, rehearsal, memory),
        unplanned=rehearsal.unplanned,
    )
    plan.cards.extend(on_card(plan, card) for card in cards)
    return plan


def on_card(plan: Plan, card: Card) -> OnCard:
    """What a card makes of a plan."""
    runtime = CUDA_RUNTIME if card.kind == "cuda" else plan.memory.heap + plan.memory.runtime
    on_host = card.kind == "cuda" and plan.peak + runtime > card.memory
    total = runtime + (plan.chunk_peak if on_host else plan.peak)
    first, period = (_period(plan, card, full) for full in (False, True))
    fps = plan.size.frames / period if period and plan.size.frames else None
    return OnCard(
        card=card,
        total=total,
        fits=total <= card.memory,
        context_on_host=on_host and plan.chunk_peak < plan.peak,
        first_period=first,
        period=period,
        fps=fps,
        real_time=None if fps is None else fps >= plan.size.fps,
    )


def _period(plan: Plan, card: Card, full: bool) -> float | None:
    """Least seconds of a chunk, its passes one after another; None where one that matters is not known."""
    if {each.part for each in plan.unplanned} & {"step", "decode", "finalize"}:
        return None
    works = [(each.times, each.full if full else each.first) for each in plan.passes]
    dtype = plan.size.dtype
    return sum(
        times * card.seconds(work.flops, work.moved, dtype, work.float8_flops, work.attention_flops)
        for times, work in works
    )


def _rehearsed(
    config: RunnerConfig, pipeline: StreamInferencePipeline, batch_size: int | None, brief: bool
) -> Rehearsal:
    own = _conditions_of_the_run(config)
    effective = pipeline.config
    height, width = (own.get(name) or getattr(effective, name) for name in ("height", "width"))
    batch_size = batch_size or own.get("batch_size") or 1
    made_up = _made_up_conditions(pipeline, batch_size, height, width)
    transformer = pipeline.diffusion_model.transformer.config
    rehearsal = Rehearsal(pipeline, batch_size, height, width, config.total_blocks)
    full = transformer.window // transformer.chunk - 1
    indices = [0] if brief and config.total_blocks == 1 else sorted({0, full})
    rehearsal.run([own, made_up], indices, brief)
    return rehearsal


def _conditions_of_the_run(config: RunnerConfig) -> dict[str, Any]:
    """What the run itself would begin with; nothing where that is not complete yet."""
    runner = config.setup()
    try:
        given = runner.conditions() if isinstance(runner, Runner) else {}
    except FlashDreamsError:
        return {}
    return {name: _on_meta(value) for name, value in given.items()}


def _made_up_conditions(pipeline: StreamInferencePipeline, batch_size: int, height: int, width: int) -> Given:
    """A prompt, and a first frame where the model takes one."""
    encoder = pipeline.diffusion_model.transformer.context_encoder
    takes = (encoder.takes if encoder else None) or frozenset()
    first_frame = torch.empty(batch_size, 3, 1, height, width, device="meta")
    possible = {"prompts": ["a video"], "first_frame": first_frame}
    return {name: value for name, value in possible.items() if name in takes}


def _on_meta(value: Any) -> Any:
    try:
        return state_tree.mapped(lambda tensor: tensor.to("meta"), value)
    except TypeError:  # an image or an object of the plugin's own
        return value


def _size(config: RunnerConfig, pipeline: StreamInferencePipeline, rehearsal: Rehearsal) -> Size:
    transformer, decoder = pipeline.diffusion_model.transformer.config, pipeline.config.decoder
    batch_size, height, width = rehearsal.slot.size
    frames: Sequence[int] = rehearsal.frames
    if not frames:
        frames = [0, transformer.chunk * decoder.temporal_compression if decoder else 0]
    return Size(
        height=height,
        width=width,
        batch_size=batch_size,
        dtype=pipeline.config.dtype,
        chunk=transformer.chunk,
        window=transformer.window,
        steps=len(pipeline.diffusion_model.scheduler.timesteps),
        first_frames=frames[0],
        frames=frames[-1],
        fps=config.fps,
    )
