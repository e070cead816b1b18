"""The VAE's decoder as a streaming decoder of FlashDreams."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

from flashdreams.infra.decoder.base import StreamingDecoder
from flashdreams.io.build import build_module
from flashdreams_wan.vae.config import WanVAEDecoderConfig
from flashdreams_wan.vae.layers import lay_out
from flashdreams_wan.vae.layouts import DECODER, layouts
from flashdreams_wan.vae.network import DecoderNetwork
from flashdreams_wan.vae.past import Past, State
from flashdreams_wan.vae.random_weights import initialise
from flashdreams_wan.vae.statistics import LatentStatistics


class WanVAEDecoder(StreamingDecoder):
    """Normalised latents to pixels: one frame of the first latent frame, four of each further one.

    Latent frames are decoded one after the other, whatever the chunk they come in. So every operator sees the
    same shapes in every chunking, and the video is the same to the last bit.
    """

    config: WanVAEDecoderConfig
    network: DecoderNetwork

    def __init__(self, config: WanVAEDecoderConfig) -> None:
        super().__init__(config)
        self.network = build_module(
            partial(DecoderNetwork, config),
            config.weights,
            layouts=layouts(config, DECODER),
            initialise=partial(initialise, seed=config.weights_seed),
        )
        lay_out(self.network)
        self.statistics = LatentStatistics(config.mean, config.std)

    @torch.no_grad()
    def forward(self, latents: Tensor, state: State | None) -> tuple[Tensor, State]:
        """Decode the next latent frames of a video.

        Args:
            latents: Normalised, ``[B, latent_channels, T, h, w]``.
            state: What the last call returned, left as it is; None at the beginning of a video.

        Returns:
            Pixels ``[B, 3, T', 8h, 8w]`` in [-1, 1], where T' is 4T, at the beginning of a video 4T - 3; and
            the state after them.
        """
        frames = self.statistics.denormalised(latents.permute(0, 2, 3, 4, 1))
        past, pixels = Past(state), self._room(latents, state)
        start = 0
        for index in range(frames.shape[1]):
            made = self.network(frames[:, index : index + 1], past).permute(0, 4, 1, 2, 3)
            torch.clamp(made, -1, 1, out=pixels[:, :, start : start + made.shape[2]])
            start += made.shape[2]
            past = past.advanced()
        return pixels, past.state

    def decode(self, latents: Tensor) -> Tensor:
        """Pixels of a whole clip, in one call."""
        return self(latents, None)[0]

    def _room(self, latents: Tensor, state: State | None) -> Tensor:
        config = self.config
        batch, _, frames, height, width = latents.shape
        count = frames * config.temporal_compression - (config.temporal_compression - 1) * (state is None)
        scale = config.spatial_compression
        return latents.new_empty(batch, 3, count, height * scale, width * scale)
