"""How many sessions the memory of the device holds."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from flashdreams.errors import FlashDreamsError
from flashdreams.infra.device import resolve_device
from flashdreams.infra.runner.config import RunnerConfig
from flashdreams.io.memory import binary, free_memory
from flashdreams_serve.settings import Limits, ServeSettings

log = logging.getLogger(__name__)

_SNAPSHOT_SHARE = 4
"""Of so many parts of the free host memory snapshots take one, where nothing else is said."""
_USUAL_SNAPSHOTS = 2 * 1024**3
"""Bytes that they take where the machine does not say what is free."""
_TIMES_BATCHED = 3
"""Slots of a session where sessions are computed together: its own, and its place in batches of two sizes."""


@dataclass(frozen=True)
class Budget:
    """What there is, and what sessions take of it, in bytes."""

    room: int
    one: int
    """What the model takes with one session, all passes included."""
    more: int
    """What each further session takes."""

    def sessions(self, wanted: int) -> int:
        """How many of the ``wanted`` sessions fit, at least one: whether that fits is not judged here."""
        if self.more <= 0:
            return wanted
        return max(1, min(wanted, 1 + (self.room - self.one) // self.more))


def sessions_that_fit(config: RunnerConfig, settings: ServeSettings, room: int | None = None) -> int:
    """Sessions that may dream at once: those that are wanted, or as many as the memory holds.

    Weights are not read. A model that is small beside what is free is not planned.

    Args:
        config: The slug, as it would be run.
        settings: How many are wanted, and whether they are computed together.
        room: Bytes that are free; what the device says where None.

    Raises:
        DeviceMemoryError: Not even one fits. The error names flags with which it would.
    """
    wanted, device = settings.limits.sessions, resolve_device(config.device)
    free = free_memory(device) if room is None else room
    if free is None:
        return wanted
    try:
        from flashdreams.plan.fit import is_small

        if is_small(config, free, slots=wanted * _TIMES_BATCHED):
            return wanted
        kept = snapshot_room(settings.limits, free) if device.type == "cpu" else 0
        budget = _planned(config, free - kept, device.type, _TIMES_BATCHED if settings.batch else 1)
    except FlashDreamsError:
        return wanted  # loading says what is wrong
    except Exception:
        log.info("The memory of %s cannot be planned.", config.runner_name, exc_info=True)
        return wanted
    if budget.one > free:
        from flashdreams.plan.fit import check_fits

        check_fits(config, free)
    count = budget.sessions(wanted)
    if count < wanted:
        log.warning("The memory holds %d sessions of %d: each takes %s.", count, wanted, binary(budget.more))
    return count


def snapshot_room(limits: Limits, free: int | None) -> int:
    """Bytes of host memory that the snapshots of all sessions may take.

    Args:
        limits: What the server was told.
        free: Bytes of host memory that are free; None where the machine does not say.
    """
    if limits.snapshot_bytes is not None:
        return limits.snapshot_bytes
    return _USUAL_SNAPSHOTS if free is None else free // _SNAPSHOT_SHARE


def _planned(config: RunnerConfig, room: int, kind: str, slots: int) -> Budget:
    from flashdreams.plan.planner import plan_of

    plan = plan_of(config, memory_only=True)
    memory = plan.memory
    slot = memory.kv_cache + memory.context + memory.noise + memory.states
    needed = plan.needed_on(kind) + (slots - 1) * slot
    return Budget(room=room, one=needed, more=slots * slot + memory.pixels)
