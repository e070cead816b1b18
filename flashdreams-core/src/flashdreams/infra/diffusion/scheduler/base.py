"""Base scheduler: flow matching along straight paths.

Notation of flow matching (Lipman et al. 2023; rectified flow, Liu et al. 2023): noisy latents are
``(1 - sigma) * clean + sigma * noise``, the flow is ``noise - clean``, and the network is told the
timestep ``1000 * sigma``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Self

import torch
from torch import Tensor, nn

from flashdreams.infra.diffusion.scheduler.config import SchedulerConfig

__all__ = ["Scheduler", "SchedulerConfig", "warped"]

_STEPS_OF_A_GRAPH = 8


class Scheduler(nn.Module):
    """The noise levels of one chunk and the step from each to the next.

    A scheduler keeps nothing between chunks. What a multistep solver must remember within a chunk is
    ``memory``: made by :meth:`start`, handed to every :meth:`step`. Subclasses call
    :meth:`set_timesteps` when they are built and implement :meth:`step`.
    """

    config: SchedulerConfig
    steps_in_graphs: ClassVar[bool] = False
    """Whether :meth:`step` reads no value of the device on the host and makes no tensor from host values, so
    that a CUDA graph may hold all steps of a chunk. Where not, each pass of the network has a graph."""
    timesteps: torch.Tensor
    """What the network is told, one per denoising step: float32 ``[steps]`` in [0, 1000]."""

    def __init__(self, config: SchedulerConfig) -> None:
        super().__init__()
        self.config = config
        self._told: tuple[float, ...] = ()
        self.set_timesteps([])

    def set_timesteps(self, timesteps: Sequence[float]) -> None:
        """Tell the network these timesteps, one per denoising step, whatever dtype the model is cast to."""
        self._told = tuple(timesteps)
        self.register_buffer("timesteps", torch.tensor(self._told, dtype=torch.float32), persistent=False)

    @property
    def fits_one_graph(self) -> bool:
        """Whether one CUDA graph holds all denoising steps; with many steps it would take long to make."""
        return self.steps_in_graphs and len(self._told) <= _STEPS_OF_A_GRAPH

    @property
    def draws(self) -> int:
        """Noise draws that one chunk takes, the first included."""
        return 1

    def start(self) -> Any:
        """Fresh memory for one chunk; None where a step needs no memory."""
        return None

    def step(
        self,
        i: int,
        flow: torch.Tensor,
        latents: torch.Tensor,
        noise: Sequence[torch.Tensor],
        memory: Any,
    ) -> torch.Tensor:
        """Take denoising step ``i``.

        Args:
            i: Index of the step, from 0.
            flow: Predicted flow at ``timesteps[i]``, ``[B, C, T, H, W]``.
            latents: Latents at ``timesteps[i]``, ``[B, C, T, H, W]``.
            noise: The ``draws`` noise draws of this chunk, each ``[B, C, T, H, W]``.
            memory: What :meth:`start` returned for this chunk.

        Returns:
            Latents at the next noise level, clean after the last step, ``[B, C, T, H, W]``.
        """
        raise NotImplementedError(f"{type(self).__name__} must implement step().")

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        """Follow the model to its device, and stay float32: to bfloat16, 998 and 1000 are the same."""
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        if self._told:
            self.timesteps = torch.tensor(self._told, dtype=torch.float32, device=self.timesteps.device)
        return self


def warped(sigma: float, shift: float) -> float:
    """A noise level in [0, 1] moved towards noise, ``s k / (1 + (s - 1) k)`` (Esser et al. 2024)."""
    return shift * sigma / (1 + (shift - 1) * sigma)
