"""What makes a run need less memory: settings, tried one by one on a new plan until one fits."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from flashdreams.errors import FlashDreamsError
from flashdreams.infra.config import derive_config
from flashdreams.infra.runner.config import RunnerConfig
from flashdreams.plan.figures import Plan
from flashdreams.plan.planner import plan_of

MOST = 3
"""Ways that are named at most."""
_TILES = (512, 384, 256)
"""Sides of tiles in pixels that are tried; smaller ones make decoding slow, and planning it too."""
_MOST_TILES = 9
"""Tiles of a frame up to which a side is tried: every tile is planned by itself."""
_SHARES = (7, 6, 5, 4, 3)
"""Eighths of height and width that are tried; a model makes little of frames that are smaller still."""


@dataclass(frozen=True)
class Setting:
    """What to change in a config, and the flags that change it."""

    flags: str
    changes: dict[str, Any]
    """As :func:`derive_config` takes them."""

    def applied(self, config: RunnerConfig) -> RunnerConfig:
        """The changed config."""
        return derive_config(config, **self.changes)


@dataclass(frozen=True)
class Knob:
    """Something that can be turned down."""

    settings: Callable[[RunnerConfig], Iterator[Setting]]
    """What it can be set to in a config, the mildest first."""
    saving: Callable[[Plan, str], int]
    """Bytes that it saves at most of a plan on a kind of device, roughly: where they are not enough, nothing
    is tried."""


@dataclass(frozen=True)
class Remedy:
    """Flags with which a run fits."""

    flags: str
    needed: int
    """Bytes that it then needs."""


@dataclass(frozen=True)
class Search:
    """What is looked for."""

    plan: Plan
    """The plan that does not fit."""
    kind: str
    """Kind of device."""
    room: int
    """Bytes that there are."""

    def needed(self, config: RunnerConfig) -> int | None:
        """Bytes that a config needs; None where it cannot be planned as the first one could."""
        try:
            plan = plan_of(config, memory_only=True)
        except FlashDreamsError:
            return None
        lost = {each.part for each in plan.unplanned} - {each.part for each in self.plan.unplanned}
        return None if lost else plan.needed_on(self.kind)

    def can_help(self, saving: int) -> bool:
        """Whether so many bytes less could be enough."""
        return self.plan.needed_on(self.kind) - saving <= self.room

    def mildest(self, config: RunnerConfig, knob: Knob) -> list[Remedy]:
        """The first of the knob's settings that fits, if one does; each needs less than the one before."""
        settings = list(knob.settings(config))
        best: list[Remedy] = []
        low, high = 0, len(settings)
        while low < high:
            middle = (low + high) // 2
            needed = self.needed(settings[middle].applied(config))
            if needed is not None and needed <= self.room:
                best, high = [Remedy(settings[middle].flags, needed)], middle
            else:
                low = middle + 1
        return best


def remedies(config: RunnerConfig, plan: Plan, kind: str, room: int) -> list[Remedy]:
    """At most :data:`MOST` ways to need no more than ``room`` bytes, each computed by a new plan.

    Single changes come first: those that leave the picture as it is before those that do not, each in its
    mildest form that fits. Where no single one is enough, all of them together.

    Args:
        config: The config that does not fit.
        plan: Its plan.
        kind: Kind of device, such as "cuda".
        room: Bytes that there are.
    """
    search = Search(plan, kind, room)
    found: list[Remedy] = []
    for knob in (_DTYPE, _TILE, _DECODER, _WINDOW, _SIZE):
        saving = knob.saving(plan, kind)
        if len(found) < MOST and saving and search.can_help(saving):
            found += search.mildest(config, knob)
    return found or _together(config, search)


def _together(config: RunnerConfig, search: Search) -> list[Remedy]:
    """All changes but another decoder, one after another until it fits."""
    plan, kind = search.plan, search.kind
    if not search.can_help(_SIZE.saving(plan, kind) + _DTYPE.saving(plan, kind)):
        return []
    flags: list[str] = []
    for knob in (knob for knob in (_DTYPE, _TILE, _WINDOW) if knob.saving(plan, kind)):
        for setting in list(knob.settings(config))[-1:]:
            flags, config = [*flags, setting.flags], setting.applied(config)
            needed = search.needed(config)
            if needed is not None and needed <= search.room:
                return [Remedy(" ".join(flags), needed)]
    return [Remedy(" ".join([*flags, r.flags]), r.needed) for r in search.mildest(config, _SIZE)]


def _dtype(config: RunnerConfig) -> Iterator[Setting]:
    if config.pipeline.dtype == "float32":
        yield Setting("--pipeline.dtype bfloat16", dict(pipeline=dict(dtype="bfloat16")))


def _tile(config: RunnerConfig) -> Iterator[Setting]:
    decoder = config.pipeline.decoder
    tile = getattr(decoder, "tile", None)
    height, width = config.effective_pipeline.height, config.effective_pipeline.width
    if isinstance(tile, int):
        for side in _TILES:
            count = math.ceil(height / side) * math.ceil(width / side)
            if side < (tile or max(height, width)) and count <= _MOST_TILES:
                yield Setting(f"--pipeline.decoder.tile {side}", dict(pipeline=dict(decoder=dict(tile=side))))


def _decoder(config: RunnerConfig) -> Iterator[Setting]:
    """The first other decoder of the same latents that is installed: one, so that none needs an order."""
    from flashdreams.plugins.registry import installed_registry

    registry, own = installed_registry(), config.pipeline.decoder
    for name in (e.spec.name for e in registry.components() if e.spec.kind == "decoder" and own is not None):
        try:
            other = registry.component_config("decoder", name)
        except FlashDreamsError:
            continue  # a broken plugin is told of elsewhere
        if type(other) is not type(own) and _latents(other) == _latents(own):
            yield Setting(f"--use decoder={name}", dict(pipeline=dict(decoder=other)))
            return


def _latents(decoder: Any) -> tuple[Any, ...]:
    names = ("spatial_compression", "temporal_compression", "latent_channels")
    return tuple(getattr(decoder, name, None) for name in names)


def _window(config: RunnerConfig) -> Iterator[Setting]:
    transformer = config.pipeline.diffusion_model.transformer
    if transformer.window == transformer.chunk:
        return
    least = transformer.sink + 2 * transformer.chunk
    for window in range(transformer.window - transformer.chunk, least - 1, -transformer.chunk):
        changes = dict(pipeline=dict(diffusion_model=dict(transformer=dict(window=window))))
        yield Setting(f"--pipeline.diffusion-model.transformer.window {window}", changes)


def _size(config: RunnerConfig) -> Iterator[Setting]:
    """Smaller frames of about the same shape, in steps that two latents fill."""
    pipeline = config.effective_pipeline
    step = 2 * (pipeline.decoder.spatial_compression if pipeline.decoder else 1)
    own = all(hasattr(config, name) for name in ("height", "width"))
    seen = {(pipeline.height, pipeline.width)}
    for share in _SHARES:
        sides = (pipeline.height, pipeline.width)
        height, width = (max(step, round(side * share / 8 / step) * step) for side in sides)
        if (height, width) in seen:
            continue
        seen.add((height, width))
        changes: dict[str, Any] = dict(height=height, width=width)
        prefix = "--" if own else "--pipeline."
        flags = f"{prefix}height {height} {prefix}width {width}"
        yield Setting(flags, changes if own else dict(pipeline=changes))


def _by_dtype(plan: Plan, kind: str) -> int:
    return plan.needed_on(kind) * 6 // 10 if plan.size.dtype == "float32" else 0


def _by_decoder(plan: Plan, kind: str) -> int:
    """Bytes of decoding, where that needs most of all that makes a chunk; else nothing is gained by it."""
    busiest = plan.busiest_on("cuda")
    if busiest is None or busiest.name != "decode":
        return 0
    return busiest.activations + plan.memory.states + plan.memory.heap


def _by_window(plan: Plan, kind: str) -> int:
    return plan.memory.kv_cache + plan.memory.heap


def _by_size(plan: Plan, kind: str) -> int:
    released = plan.memory.transient if kind == "cpu" else 0
    return plan.needed_on(kind) - plan.memory.weights - released


_DTYPE = Knob(_dtype, _by_dtype)
_TILE = Knob(_tile, _by_decoder)
_DECODER = Knob(_decoder, _by_decoder)
_WINDOW = Knob(_window, _by_window)
_SIZE = Knob(_size, _by_size)
