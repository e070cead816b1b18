"""A decoder that decodes nothing: what the transformer made, before anything made it pretty."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from flashdreams.errors import FieldValueError
from flashdreams.infra.decoder.base import Decoder
from flashdreams_scope.config import LatentViewConfig


class LatentView(Decoder):
    """Channels as colours, each latent a square of pixels."""

    config: LatentViewConfig

    def forward(self, latents: Tensor) -> Tensor:
        """Latents ``[B, C, T, H, W]`` to pixels ``[B, 3, T, s * H, s * W]`` in [-1, 1].

        Raises:
            FieldValueError: The latents have fewer channels than are to be shown.
        """
        self._check(latents.shape[1])
        colours = torch.stack([latents[:, channel] for channel in self.config.channels], dim=1)
        scale = self.config.spatial_compression
        return F.interpolate(torch.tanh(self.config.gain * colours), scale_factor=(1, scale, scale))

    def _check(self, channels: int) -> None:
        if max(self.config.channels) >= channels:
            raise FieldValueError(
                f"channels is {self.config.channels}, and the latents have {channels}.",
                f"Channels of these latents are 0 to {channels - 1}.",
                "Set --pipeline.decoder.channels to three of them.",
            )
