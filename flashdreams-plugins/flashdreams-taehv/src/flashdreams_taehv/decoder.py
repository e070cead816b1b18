"""TAEHV as a streaming decoder of FlashDreams."""

from __future__ import annotations

from functools import partial
from typing import cast

import torch
from torch import Tensor, nn

from flashdreams.infra.decoder.base import StreamingDecoder
from flashdreams.io.build import build_module
from flashdreams.io.layout import Layout
from flashdreams_taehv.config import TAEHVDecoderConfig
from flashdreams_taehv.network import RGB, State, TAEHVNetwork

LAYOUT = Layout("TAEHV's own names", only=r"^decoder\.", marker=r"^decoder\.\d+\.conv\.0\.weight$")
"""The encoder's half of a published file is left in it."""


class TAEHVDecoder(StreamingDecoder):
    """Latents to pixels at a small part of the full VAE's cost.

    It takes latents as the transformer has them, normalised: so the weights for Wan 2.1 were trained (their
    wrappers set the VAE's mean to 0 and its deviation to 1), and so Self-Forcing's demo feeds them.

    Each latent frame gives four pixel frames, but the first three of a video are those before it began, and
    left out, as published. Latent frames are decoded one after the other, so no chunking changes the result.
    """

    config: TAEHVDecoderConfig
    network: TAEHVNetwork

    def __init__(self, config: TAEHVDecoderConfig) -> None:
        super().__init__(config)
        self.network = build_module(
            partial(TAEHVNetwork, config),
            config.weights,
            layouts=(LAYOUT,),
            initialise=partial(initialise, seed=config.weights_seed),
        )
        for part in self.network.modules():
            if isinstance(part, nn.Conv2d):  # as frames are laid out
                part.weight.data = part.weight.data.contiguous(memory_format=torch.channels_last)

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
        pixels = []
        for latent in latents.permute(0, 2, 3, 4, 1).split(1, dim=1):
            left_out = self.config.temporal_compression - 1 if state is None else 0
            frames, state = self.network(latent.contiguous(), state)
            pixels.append(frames[:, left_out:])
        video = torch.cat(pixels, dim=1).permute(0, 4, 1, 2, 3)
        return video.mul_(2).sub_(1).clamp_(-1, 1).contiguous(), cast(State, state)


def initialise(network: nn.Module, seed: int) -> None:
    """Fill a network in place with random weights that show something: soft contrasts around grey.

    Args:
        network: On any device but ``meta``.
        seed: Seed of the values, the same in every dtype and on every machine.
    """
    generator = torch.Generator().manual_seed(seed)
    for parameter in network.parameters():
        values = torch.empty(parameter.shape).normal_(generator=generator)
        if parameter.dim() == 1:
            parameter.copy_(0.1 * values + (0.5 if len(values) == RGB else 0.0))
        else:
            values -= values.mean(dim=1, keepdim=True)  # ReLU's outputs are positive: no colour should win
            gain = 0.5 if len(values) == RGB else 1.0
            parameter.copy_(gain * values / values[0].numel() ** 0.5)
