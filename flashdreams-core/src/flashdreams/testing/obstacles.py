"""Why something that is installed cannot be tried out on this machine: nothing is fetched to find out."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from flashdreams.errors import DeviceMemoryError, FlashDreamsError
from flashdreams.infra.config import InstantiateConfig
from flashdreams.infra.runner.base import Runner
from flashdreams.infra.runner.config import RunnerConfig
from flashdreams.io.lock import references_of
from flashdreams.io.memory import binary, free_host_memory
from flashdreams.io.needs import needs_of
from flashdreams.plugins.needs import missing
from flashdreams.plugins.specs import ComponentSpec, RunnerSpec

_LONGEST_WORK = 3e11
"""Floating-point operations of a chunk that a CPU is asked to make some hundred times: seconds each."""


def obstacle_to_slug(spec: RunnerSpec, config: RunnerConfig) -> str | None:
    """Why the pipeline of a slug cannot be run here as it is, on the CPU; None where it can."""
    return (
        _first(missing(spec.needs))
        or _absent_weights(config, f"flashdreams download {spec.slug}")
        or _incomplete(config)
        or _too_large(config)
        or _too_slow(config)
    )


def obstacle_to_component(spec: ComponentSpec, config: InstantiateConfig) -> str | None:
    """Why a component cannot be set up here as it is, on the CPU; None where it can."""
    fetch = "flashdreams download SLUG, with a slug that has it"
    return _first(missing(spec.needs)) or _absent_weights(config, fetch) or _too_large_a_part(config)


def _absent_weights(config: Any, fetch: str) -> str | None:
    absent = [reference for reference in references_of(config) if not needs_of(reference).is_complete]
    return f"{absent[0]} is not on this machine ({fetch})" if absent else None


def _incomplete(config: RunnerConfig) -> str | None:
    runner = config.setup()
    if not isinstance(runner, Runner):
        return f"{type(runner).__name__} does not derive from flashdreams.infra.runner.Runner"
    try:
        runner.conditions()
    except FlashDreamsError as error:
        return f"it needs more to begin: {error.what}"
    return None


def _too_large(config: RunnerConfig) -> str | None:
    from flashdreams.plan.fit import check_fits

    try:
        check_fits(config)
    except DeviceMemoryError as error:
        return error.what
    return None


def _too_slow(config: RunnerConfig) -> str | None:
    from flashdreams.plan import plan_of

    try:
        plan = plan_of(config)
    except Exception:
        return None  # what cannot be planned is tried
    work = sum(each.times * each.full.flops for each in plan.passes)
    if work > _LONGEST_WORK:
        return f"a chunk takes {work / 1e12:.1f} TFLOP: on a CPU the checks would take hours"
    return None


def _too_large_a_part(config: InstantiateConfig) -> str | None:
    try:
        part = config.setup(device="meta")
        tensors = [*part.parameters(), *part.buffers()]
        size = sum(t.numel() * t.element_size() for t in tensors)
        size += part.transient_bytes() if hasattr(part, "transient_bytes") else 0
    except Exception:
        return None  # what cannot be measured is tried
    free = free_host_memory()
    if free is not None and 2 * size > free:
        return f"it takes {binary(size)}, and this machine has {binary(free)} free"
    return None


def _first(reasons: Iterable[str]) -> str | None:
    return next(iter(reasons), None)
