"""Few-step flow matching with re-noising, as Self-Forcing samples (Huang et al. 2025)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from flashdreams.infra.diffusion.scheduler.base import Scheduler, warped
from flashdreams.infra.diffusion.scheduler.config import FlowMatchSchedulerConfig

__all__ = ["FlowMatchScheduler", "FlowMatchSchedulerConfig"]


class FlowMatchScheduler(Scheduler):
    """Predicts the clean latents at each step, and noises them again with a fresh draw.

    The levels 1000, 750, 500, 250 with shift 5 are Self-Forcing's 1000, 937.5, 833.3, 625.
    """

    config: FlowMatchSchedulerConfig
    steps_in_graphs = True
    sigmas: tuple[float, ...]
    """Noise level before each step, and 0 after the last."""

    def __init__(self, config: FlowMatchSchedulerConfig) -> None:
        super().__init__(config)
        shift = config.shift if config.warp else 1.0
        levels = [warped(timestep / 1000, shift) for timestep in config.denoising_timesteps]
        self.sigmas = (*levels, 0.0)
        self.set_timesteps([1000 * sigma for sigma in levels])

    @property
    def draws(self) -> int:
        """One draw to begin with, and one before every further step."""
        return len(self.sigmas) - 1

    def step(
        self, i: int, flow: Tensor, latents: Tensor, noise: Sequence[Tensor], memory: Any = None
    ) -> Tensor:
        """Take denoising step ``i``; see :meth:`Scheduler.step`."""
        sigma, next_sigma = self.sigmas[i], self.sigmas[i + 1]
        clean = latents.float() - sigma * flow.float()
        if next_sigma > 0:
            clean = (1 - next_sigma) * clean + next_sigma * noise[i + 1].float()
        return clean.to(latents.dtype)
