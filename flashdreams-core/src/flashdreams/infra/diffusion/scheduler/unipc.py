"""UniPC of second order (Zhao et al. 2023), as Wan's published code configures it.

A step first corrects the latents it was given, now that the network has seen them, then predicts the
next ones. Written in the log signal-to-noise ratio ``lambda = log((1 - sigma) / sigma)`` and in the
predicted clean latents, every update is a weighted sum with weights that depend on the noise levels
alone; they are worked out once, on the host, in float64.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from flashdreams.infra.diffusion.scheduler.base import Scheduler, warped
from flashdreams.infra.diffusion.scheduler.config import UniPCSchedulerConfig

__all__ = ["UniPCMemory", "UniPCScheduler", "UniPCSchedulerConfig"]

HIGHEST_SIGMA = 0.9990000128746033
"""Wan's first noise level before the shift; at 1 there is no signal and lambda is infinite.

It is 0.999 in float32, as in Wan's code: from 0.999 itself some timesteps would round down to others.
"""


@dataclass
class UniPCMemory:
    """What UniPC remembers within one chunk."""

    start: Tensor | None = None
    """Corrected latents that the last step started from, float32."""
    clean: tuple[Tensor, ...] = ()
    """Clean latents predicted in the last steps, newest first, float32; at most two."""


@dataclass(frozen=True)
class Weights:
    """``start * latents + sum(clean[k] * predicted clean latents, newest first)``."""

    start: float
    clean: tuple[float, ...]

    def apply(self, start: Tensor, clean: Sequence[Tensor]) -> Tensor:
        """The weighted sum."""
        total = self.start * start
        for weight, prediction in zip(self.clean, clean, strict=True):
            total = total + weight * prediction
        return total


class UniPCScheduler(Scheduler):
    """Predictor and corrector of second order (B2(h), predicting clean latents).

    The first and last steps are of first order. Noise levels are Wan's: evenly spaced from 0.999 to 0,
    warped by the shift. diffusers' ``UniPCMultistepScheduler(use_flow_sigmas=True)`` is the same
    algorithm on levels that lie up to 4.3e-3 higher (50 steps, shift 5).
    """

    config: UniPCSchedulerConfig
    steps_in_graphs = True
    sigmas: tuple[float, ...]
    """Noise level before each step, and 0 after the last."""

    def __init__(self, config: UniPCSchedulerConfig) -> None:
        super().__init__(config)
        steps = config.num_inference_steps
        self.use_sigmas([warped(HIGHEST_SIGMA * (1 - i / steps), config.shift) for i in range(steps)])

    def use_sigmas(self, sigmas: Sequence[float]) -> None:
        """Take these noise levels, each in (0, 1), highest first; the 0 after them is implied."""
        self.sigmas = (*sigmas, 0.0)
        orders = [min(2, i + 1, len(sigmas) - i) for i in range(len(sigmas))]
        self._predict = [predictor(self.sigmas, i, order) for i, order in enumerate(orders)]
        self._correct = [corrector(self.sigmas, i + 1, order) for i, order in enumerate(orders[:-1])]
        timesteps = [1000 * sigma for sigma in sigmas]
        self.set_timesteps([float(int(t)) for t in timesteps] if self.config.integer_timesteps else timesteps)

    def start(self) -> UniPCMemory:
        """Fresh memory for one chunk."""
        return UniPCMemory()

    def step(self, i: int, flow: Tensor, latents: Tensor, noise: Sequence[Tensor], memory: Any) -> Tensor:
        """Take denoising step ``i``; see :meth:`Scheduler.step`."""
        start = latents.float()
        seen = (start - self.sigmas[i] * flow.float(), *memory.clean)
        if memory.start is not None:
            weights = self._correct[i - 1]
            start = weights.apply(memory.start, seen[: len(weights.clean)])
        memory.start, memory.clean = start, seen[:2]
        weights = self._predict[i]
        return weights.apply(start, seen[: len(weights.clean)]).to(latents.dtype)


def predictor(sigmas: Sequence[float], i: int, order: int) -> Weights:
    """UniP: latents at ``sigmas[i + 1]`` from those at ``sigmas[i]``; clean latents of ``i``, ``i - 1``."""
    now, then = sigmas[i], sigmas[i + 1]
    step = _lambda(then) - _lambda(now)
    growth = -(1 - then) * math.expm1(-step)
    if order == 1:
        return Weights(then / now, (growth,))
    ratio = (_lambda(sigmas[i - 1]) - _lambda(now)) / step
    return Weights(then / now, (growth * (1 - 0.5 / ratio), growth * 0.5 / ratio))


def corrector(sigmas: Sequence[float], i: int, order: int) -> Weights:
    """UniC: latents at ``sigmas[i]`` once more, from those at ``sigmas[i - 1]``.

    The weights of clean latents are those of ``i``, ``i - 1`` and, for order 2, ``i - 2``.
    """
    before, now = sigmas[i - 1], sigmas[i]
    step = _lambda(now) - _lambda(before)
    growth = -(1 - now) * math.expm1(-step)
    if order == 1:
        return Weights(now / before, (growth * 0.5, growth * 0.5))
    ratio = (_lambda(sigmas[i - 2]) - _lambda(before)) / step
    # Zhao et al., equation 9: the two conditions under which the error is of third order.
    first = (math.expm1(-step) / -step - 1) / math.expm1(-step)
    second = 2 * ((math.expm1(-step) / -step - 1) / -step - 0.5) / math.expm1(-step)
    older = (first - second) / (1 - ratio)
    newest = first - older
    return Weights(
        now / before,
        (growth * newest, growth * (1 - newest - older / ratio), growth * older / ratio),
    )


def _lambda(sigma: float) -> float:
    """Half the logarithm of the signal-to-noise ratio."""
    return math.inf if sigma == 0 else math.log((1 - sigma) / sigma)
