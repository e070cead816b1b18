"""Configs of the schedulers. No torch here."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from flashdreams.errors import FieldValueError
from flashdreams.infra.config import InstantiateConfig


@dataclass(kw_only=True)
class SchedulerConfig(InstantiateConfig):
    """Noise levels from 1 to 0, and the step from one to the next."""

    _target: Any = "flashdreams.infra.diffusion.scheduler.base:Scheduler"


@dataclass(kw_only=True)
class FlowMatchSchedulerConfig(SchedulerConfig):
    """A few steps: at each the clean latents are predicted, and noised again to the next level."""

    _target: Any = "flashdreams.infra.diffusion.scheduler.fm:FlowMatchScheduler"

    denoising_timesteps: list[float] = field(default_factory=lambda: [1000.0, 750.0, 500.0, 250.0])
    """Noise levels in (0, 1000], highest first; one network pass each."""
    shift: float = 5.0
    """Warp of the noise levels towards noise, s k / (1 + (s - 1) k); 1 leaves them as they are."""
    warp: bool = True
    """Whether shift warps the listed levels; if not, they are taken as listed."""
    num_inference_steps: int | None = None
    """Number of listed levels, where it is to be checked; None takes what is listed."""

    def __post_init__(self) -> None:
        _check_shift(self.shift)
        levels, steps = self.denoising_timesteps, self.num_inference_steps
        falling = all(low < high for high, low in pairwise(levels))
        if not levels or not falling or not (levels[-1] > 0 and levels[0] <= 1000):
            raise FieldValueError(
                f"denoising_timesteps is {levels}.",
                "It lists noise levels between 1000 (pure noise) and 0 (clean, not listed), highest first.",
                "Set it to [1000, 750, 500, 250], for instance.",
            )
        if steps is not None and steps != len(levels):
            raise FieldValueError(
                f"num_inference_steps is {steps}, and denoising_timesteps lists {len(levels)}: {levels}.",
                "Each listed level is one step, so the two agree.",
                f"Set num_inference_steps to None or {len(levels)}, or list {steps} levels.",
            )


@dataclass(kw_only=True)
class FlowMatchEulerSchedulerConfig(SchedulerConfig):
    """Euler steps along the flow, from noise to clean."""

    _target: Any = "flashdreams.infra.diffusion.scheduler.euler:FlowMatchEulerScheduler"

    num_inference_steps: int = 50
    """Denoising steps; one network pass each."""
    shift: float = 5.0
    """Warp of the noise levels towards noise, s k / (1 + (s - 1) k); 1 leaves them evenly spaced."""

    def __post_init__(self) -> None:
        _check_shift(self.shift)
        _check_steps(self.num_inference_steps)


@dataclass(kw_only=True)
class UniPCSchedulerConfig(SchedulerConfig):
    """UniPC of order 2: more exact than Euler at the same number of network passes."""

    _target: Any = "flashdreams.infra.diffusion.scheduler.unipc:UniPCScheduler"

    num_inference_steps: int = 50
    """Denoising steps; one network pass each."""
    shift: float = 5.0
    """Warp of the noise levels towards noise, s k / (1 + (s - 1) k); 1 leaves them evenly spaced."""
    integer_timesteps: bool = True
    """Whether the network is told whole timesteps, rounded down, as Wan's published code does."""

    def __post_init__(self) -> None:
        _check_shift(self.shift)
        _check_steps(self.num_inference_steps)


def _check_shift(shift: float) -> None:
    if not 0 < shift < float("inf"):
        raise FieldValueError(
            f"shift is {shift}.",
            "A shift is a positive number: 1 leaves the noise levels as they are, more moves them up.",
            "Set shift to 5, for instance.",
        )


def _check_steps(steps: int) -> None:
    if steps < 1:
        raise FieldValueError(
            f"num_inference_steps is {steps}.",
            "There is at least one denoising step.",
            "Set num_inference_steps to 50, for instance.",
        )
