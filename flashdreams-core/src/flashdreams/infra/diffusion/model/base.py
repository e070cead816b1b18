"""The denoising loop."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from torch import Tensor, nn

from flashdreams.errors import ComponentError
from flashdreams.infra.contract import built, same_shape
from flashdreams.infra.diffusion.model.config import DiffusionModelConfig
from flashdreams.infra.diffusion.scheduler.base import Scheduler
from flashdreams.infra.diffusion.transformer.base import Transformer, TransformerCache

__all__ = ["DiffusionModel", "DiffusionModelConfig"]

PredictFlow = Callable[[Tensor, Tensor], Tensor]
"""Noisy latents ``[B, C, T, H, W]`` and a timestep ``[1]`` to the flow."""


class DiffusionModel(nn.Module):
    """A transformer that predicts, a scheduler that steps, and the loop over the two."""

    config: DiffusionModelConfig
    transformer: Transformer
    scheduler: Scheduler

    def __init__(self, config: DiffusionModelConfig) -> None:
        super().__init__()
        self.config = config
        self.transformer = built(config.transformer, Transformer, "transformer")
        self.scheduler = built(config.scheduler, Scheduler, "scheduler")
        if len(self.scheduler.timesteps) == 0:
            raise ComponentError(
                f"{type(self.scheduler).__name__} takes no denoising step.",
                "A scheduler tells its timesteps when it is built.",
                "Call self.set_timesteps([...]) in its __init__.",
            )

    def generate(self, cache: TransformerCache, control: Any, noise: Sequence[Tensor]) -> Tensor:
        """Denoise one chunk.

        Args:
            cache: The rollout's memory, pointed at this chunk.
            control: What the encoder made of this chunk's input, or None.
            noise: The scheduler's ``draws`` draws, each ``[B, C, T, H, W]``.

        Returns:
            Clean latents, ``[B, C, T, H, W]``.
        """
        return self.denoise(noise, partial(self.predict_flow, cache=cache, control=control))

    def denoise(self, noise: Sequence[Tensor], predict_flow: PredictFlow) -> Tensor:
        """The loop over the steps, with any ``predict_flow(latents, timestep)``; see :meth:`generate`."""
        latents = noise[0]
        memory = self.scheduler.start()
        for i, timestep in enumerate(self.scheduler.timesteps.unsqueeze(1).unbind()):
            flow = predict_flow(latents, timestep)
            latents = self.scheduler.step(i, flow, latents, noise, memory)
        return latents

    def predict_flow(
        self, latents: Tensor, timestep: Tensor, cache: TransformerCache, control: Any
    ) -> Tensor:
        """The transformer's flow; see :meth:`Transformer.predict_flow`."""
        flow = self.transformer.predict_flow(latents, timestep, cache, control)
        return same_shape(flow, latents, self.transformer)

    def write_context(self, latents: Tensor, cache: TransformerCache, control: Any) -> None:
        """Write keys and values of the clean chunk, ``[B, C, T, H, W]``, for later chunks to see."""
        self.transformer.write_context(latents, cache, control)
