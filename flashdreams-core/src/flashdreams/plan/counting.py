"""From the readings of a rehearsal to the figures of a plan."""

from __future__ import annotations

from flashdreams.infra.pipeline.base import StreamInferencePipeline
from flashdreams.infra.pipeline.slots import Slot
from flashdreams.plan.figures import Memory, Pass, PassName, Work
from flashdreams.plan.held import Weights, bytes_of
from flashdreams.plan.rehearsal import Rehearsal

_ORDER: tuple[PassName, ...] = ("context", "control", "step", "decode", "finalize")

_HEAP_SHARE = 0.5
"""Of the small blocks that a pass frees, the share that glibc's heap does not use again: 0.5 to 1.6 were
measured, the least on the largest model, where it matters most."""


def memory_of(rehearsal: Rehearsal, weights: list[Weights], runtime: int) -> Memory:
    """What is held while a rollout is alive."""
    slot, cache = rehearsal.slot, rehearsal.slot.transformer
    kv_cache = bytes_of(cache.past)
    smalls = [reading.small for name in rehearsal.readings for reading in rehearsal.reached(name)]
    return Memory(
        weights=sum(each.bytes for each in weights if not each.transient),
        kv_cache=kv_cache,
        context=bytes_of(cache) - kv_cache,
        noise=bytes_of(slot.noise),
        states=bytes_of(*_states(slot)),
        pixels=bytes_of(rehearsal.shown),
        transient=max([0, *(each.bytes for each in weights if each.transient)]),
        heap=int(_HEAP_SHARE * max([0, *smalls])),
        runtime=runtime,
    )


def passes_of(pipeline: StreamInferencePipeline, rehearsal: Rehearsal, memory: Memory) -> list[Pass]:
    """Each kind of pass that was rehearsed."""
    steps = len(pipeline.diffusion_model.scheduler.timesteps)
    times: dict[PassName, int] = {"context": 0, "control": 1, "step": steps, "decode": 1, "finalize": 1}
    return [
        _pass(name, times[name], rehearsal, memory)
        for name in _ORDER
        if name in rehearsal.readings and (name != "control" or pipeline.encoder is not None)
    ]


def _pass(name: PassName, times: int, rehearsal: Rehearsal, memory: Memory) -> Pass:
    readings = rehearsal.readings[name]
    first, last = (
        Work(reading.flops, reading.moved, reading.float8_flops, reading.attention_flops)
        for reading in (readings[0], readings[-1])
    )
    reached = rehearsal.reached(name)
    peak, before = (max(getattr(each, what) for each in reached) for what in ("peak", "live_before"))
    if name == "context":  # its reading begins before anything of the rollout is there
        before = memory.kv_cache + memory.context + memory.noise
    loaded = memory.weights + (memory.transient if name == "context" else 0)
    return Pass(name, times, first, last, activations=max(0, peak - before), peak=loaded + peak)


def _states(slot: Slot) -> list[object]:
    buffers = (slot.encoder, slot.decoder)
    carried = [tree for each in buffers for tree in (each.committed, each.staged)]
    return [slot.latents, slot.to_decode, slot.timestep, *carried, *slot.controls.trees]
