"""Refuses a run that its device's memory cannot hold, and works out what would make it fit."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import torch

from flashdreams.errors import DeviceMemoryError, FlashDreamsError
from flashdreams.infra.device import resolve_device
from flashdreams.infra.pipeline.base import StreamInferencePipeline
from flashdreams.infra.runner.config import RunnerConfig
from flashdreams.io.memory import binary, free_memory
from flashdreams.plan.held import bytes_of, weights_that_stay

if TYPE_CHECKING:
    from flashdreams.plan.figures import Plan

log = logging.getLogger(__name__)

_TIMES_HELD = 2
"""What is held, and what passes may take of the same order."""
_TIMES_PIXELS = 1000
"""What a pass takes at most, in sizes of the pixels of a chunk; the decoder of a Wan VAE takes about 140."""


def check_fits(config: RunnerConfig, free: int | None = None) -> None:
    """Refuse a run that needs more memory than is free. Nothing is loaded.

    What cannot be planned is not refused, and a model that is small beside what is free is not planned.

    Args:
        config: The config that is to be run.
        free: Bytes that are free; what the device says where None.

    Raises:
        DeviceMemoryError: The run needs more. The error names flags with which it would fit.
    """
    device = resolve_device(config.device)
    room = free_memory(device) if free is None else free
    if room is None:
        return
    try:
        if is_small(config, room):
            return
        from flashdreams.plan.planner import plan_of

        plan = plan_of(config, memory_only=True)
    except FlashDreamsError:
        return  # the run itself says what is wrong
    except Exception:
        log.info("The memory of %s cannot be planned.", config.runner_name, exc_info=True)
        return
    if plan.needed_on(device.type) > room:
        raise _refusal(config, plan, device, room)


def is_small(config: RunnerConfig, room: int, slots: int = 1) -> bool:
    """Whether weights, slots and pixels are so small that nothing which depends on them fills the room.

    Args:
        config: The config; no weights of it are read.
        room: Bytes that are free.
        slots: Slots of rollouts that are held at once.
    """
    effective = config.effective_pipeline
    pipeline: StreamInferencePipeline = effective.setup(device="meta")
    slot = pipeline.slots.lease((1, effective.height, effective.width))
    held = slots * bytes_of(slot.noise, slot.transformer)
    held += sum(each.bytes for each in weights_that_stay(pipeline))
    encoder = pipeline.diffusion_model.transformer.context_encoder
    held += encoder.transient_bytes() if encoder else 0
    decoder, transformer = effective.decoder, effective.diffusion_model.transformer
    frames = transformer.chunk * (decoder.temporal_compression if decoder else 1)
    pixels: int = 3 * frames * effective.height * effective.width * pipeline.dtype.itemsize
    return _TIMES_HELD * held + _TIMES_PIXELS * pixels < room


def _refusal(config: RunnerConfig, plan: Plan, device: torch.device, room: int) -> DeviceMemoryError:
    from flashdreams.plan.remedies import remedies

    size, memory, busiest = plan.size, plan.memory, plan.busiest_on(device.type)
    parts = {"weights": memory.weights, "KV cache": memory.kv_cache}
    if busiest is not None:
        released = memory.transient if busiest.name == "context" else 0
        parts[f"while in {busiest.name}"] = busiest.activations + released
    shares = ", ".join(f"{name} {binary(count)}" for name, count in parts.items() if count)
    ways = [
        f"{each.flags} (needs {binary(each.needed)})" for each in remedies(config, plan, device.type, room)
    ]
    needed = binary(plan.needed_on(device.type))
    next_step = f"It fits with {'; or with '.join(ways)}." if ways else "No smaller setting of it fits here."
    return DeviceMemoryError(
        f"{config.runner_name} needs {needed} at {size.width} x {size.height} in {size.dtype}, "
        f"and {device} has {binary(room)} free.",
        f"It takes {shares}.",
        f"{next_step} `flashdreams plan {config.runner_name}` shows all of it; --force tries it as it is.",
    )
