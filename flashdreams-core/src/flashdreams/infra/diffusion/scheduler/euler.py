"""Euler's method along the flow."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from flashdreams.infra.diffusion.scheduler.base import Scheduler, warped
from flashdreams.infra.diffusion.scheduler.config import FlowMatchEulerSchedulerConfig

__all__ = ["FlowMatchEulerScheduler", "FlowMatchEulerSchedulerConfig"]


class FlowMatchEulerScheduler(Scheduler):
    """Steps of first order through evenly spaced noise levels from 1 to 0, warped by the shift.

    The levels are those that pipelines hand to diffusers' ``FlowMatchEulerDiscreteScheduler`` as
    ``sigmas=linspace(1, 1 / steps, steps)``. Left to itself that class warps its last level twice.
    """

    config: FlowMatchEulerSchedulerConfig
    steps_in_graphs = True
    sigmas: tuple[float, ...]
    """Noise level before each step, and 0 after the last."""

    def __init__(self, config: FlowMatchEulerSchedulerConfig) -> None:
        super().__init__(config)
        steps = config.num_inference_steps
        self.sigmas = tuple(warped(1 - i / steps, config.shift) for i in range(steps + 1))
        self.set_timesteps([1000 * sigma for sigma in self.sigmas[:-1]])

    def step(
        self, i: int, flow: Tensor, latents: Tensor, noise: Sequence[Tensor], memory: Any = None
    ) -> Tensor:
        """Take denoising step ``i``; see :meth:`Scheduler.step`."""
        moved = latents.float() + (self.sigmas[i + 1] - self.sigmas[i]) * flow.float()
        return moved.to(latents.dtype)
