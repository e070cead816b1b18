"""Latents as the network has them, and normalised as the transformer has them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from flashdreams.infra.config.placement import placement


class LatentStatistics(nn.Module):
    """Mean and standard deviation of each latent channel, in float32 whatever the model is cast to."""

    _bits: Tensor
    """Means and deviations, float32 ``[2, C]`` in the guise of int32, which casts leave alone."""

    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        values = torch.tensor([list(mean), list(std)], dtype=torch.float32, device="cpu")
        bits = values.view(torch.int32).to(placement().device)
        self.register_buffer("_bits", bits, persistent=False)

    def normalised(self, latents: Tensor) -> Tensor:
        """``[..., C]`` with mean 0 and deviation 1, in the dtype of the latents."""
        mean, std = self._statistics(latents)
        return latents.sub(mean).div_(std).to(latents.dtype)

    def denormalised(self, latents: Tensor) -> Tensor:
        """``[..., C]`` as the network has them, in the dtype of the latents."""
        mean, std = self._statistics(latents)
        return latents.mul(std).add_(mean).to(latents.dtype)

    def _statistics(self, latents: Tensor) -> tuple[Tensor, ...]:
        exact = torch.promote_types(latents.dtype, torch.float32)
        return self._bits.view(torch.float32).to(exact).unbind()
