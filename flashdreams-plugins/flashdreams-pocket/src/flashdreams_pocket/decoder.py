"""From latents to pixels, frame by frame."""

from __future__ import annotations

from typing import cast

from einops import rearrange
from torch import Tensor

from flashdreams.infra.decoder.base import Decoder
from flashdreams_pocket.autoencoder import FrameDecoder
from flashdreams_pocket.config import RacerDecoderConfig
from flashdreams_pocket.shipped import load_part


class RacerDecoder(Decoder):
    """Decodes every frame by itself."""

    config: RacerDecoderConfig

    def __init__(self, config: RacerDecoderConfig) -> None:
        super().__init__(config)
        self.frames = load_part(FrameDecoder, "decoder", config.weights)

    def forward(self, latents: Tensor) -> Tensor:
        """Latents ``[B, 8, T, 8, 8]`` to pixels ``[B, 3, T, 64, 64]`` in [-1, 1]."""
        frames = self.frames(rearrange(latents, "b c t h w -> (b t) c h w")).clamp(-1, 1)
        return cast(Tensor, rearrange(frames, "(b t) c h w -> b c t h w", t=latents.shape[2]))
