"""Configs of the schedulers. No torch here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from flashdreams.infra.config import InstantiateConfig


@dataclass(kw_only=True)
class SchedulerConfig(InstantiateConfig):
    """Noise levels from 1 to 0, and the step from one to the next."""

    _target: Any = "flashdreams.infra.diffusion.scheduler.base:Scheduler"
