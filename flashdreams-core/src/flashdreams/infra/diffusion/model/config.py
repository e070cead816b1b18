"""Config of the diffusion model. No torch here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from flashdreams.infra.config import InstantiateConfig
from flashdreams.infra.diffusion.scheduler.config import SchedulerConfig
from flashdreams.infra.diffusion.transformer.config import TransformerConfig


@dataclass(kw_only=True)
class DiffusionModelConfig(InstantiateConfig):
    """A transformer that predicts and a scheduler that steps."""

    _target: Any = "flashdreams.infra.diffusion.model.base:DiffusionModel"

    transformer: TransformerConfig
    """The network."""
    scheduler: SchedulerConfig
    """The noise levels and the step between them."""
