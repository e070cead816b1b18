"""The VAE's encoder as a streaming encoder of FlashDreams."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

from flashdreams.errors import InputError
from flashdreams.infra.encoder.base import StreamingEncoder
from flashdreams.io.build import build_module
from flashdreams_wan.vae.config import WanVAEEncoderConfig
from flashdreams_wan.vae.layers import lay_out
from flashdreams_wan.vae.layouts import ENCODER, layouts
from flashdreams_wan.vae.network import EncoderNetwork
from flashdreams_wan.vae.past import Past, State
from flashdreams_wan.vae.random_weights import initialise
from flashdreams_wan.vae.statistics import LatentStatistics


class WanVAEEncoder(StreamingEncoder):
    """Pixels to normalised latents: the first frame becomes one latent frame, each further four another.

    Latents are the mean of the posterior. As in the decoder, the chunking changes no bit of them.
    """

    config: WanVAEEncoderConfig
    network: EncoderNetwork

    def __init__(self, config: WanVAEEncoderConfig) -> None:
        super().__init__(config)
        self.network = build_module(
            partial(EncoderNetwork, config),
            config.weights,
            layouts=layouts(config, ENCODER),
            initialise=partial(initialise, seed=config.weights_seed),
        )
        lay_out(self.network)
        self.statistics = LatentStatistics(config.mean, config.std)

    @torch.no_grad()
    def forward(self, pixels: Tensor, state: State | None) -> tuple[Tensor, State]:
        """Encode the next pixel frames of a video.

        Args:
            pixels: ``[B, 3, T, H, W]`` in [-1, 1]; T is 4n, at the beginning of a video 4n + 1.
            state: What the last call returned, left as it is; None at the beginning of a video.

        Returns:
            Normalised latents ``[B, latent_channels, T', H / 8, W / 8]``, where T' is n, at the beginning
            n + 1; and the state after them.

        Raises:
            InputError: Height, width or the number of frames is none that the encoder takes.
        """
        self._check(pixels, state)
        step, frames = self.config.temporal_compression, pixels.permute(0, 2, 3, 4, 1)
        alone = [1] if state is None else []
        counts = alone + [step] * ((frames.shape[1] - len(alone)) // step)
        past, latents = Past(state), []
        for part in frames.split(counts, dim=1):
            latents.append(self.network(part, past))
            past = past.advanced()
        return self.statistics.normalised(torch.cat(latents, dim=1)).permute(0, 4, 1, 2, 3), past.state

    def encode(self, pixels: Tensor) -> Tensor:
        """Latents of a whole clip, in one call."""
        return self(pixels, None)[0]

    def _check(self, pixels: Tensor, state: State | None) -> None:
        config = self.config
        step, scale = config.temporal_compression, config.spatial_compression
        frames, height, width = pixels.shape[-3:]
        if frames == 0 or frames % step != (1 % step if state is None else 0):
            raise InputError(
                f"{frames} pixel frames were given to the encoder.",
                f"It takes {f'1 + {step}n' if state is None else f'{step}n'} of them"
                + (" at the beginning of a video." if state is None else " after the first."),
                "Leave some out, or repeat the last one.",
            )
        if height % scale or width % scale or not (height and width):
            raise InputError(
                f"The pixel frames are {height} x {width}.",
                f"Height and width are multiples of {scale}.",
                "Resize or crop them.",
            )
