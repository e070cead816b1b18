"""A decoder that dims what another decoder shows, but for what the headlights reach."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from flashdreams.errors import FieldValueError
from flashdreams_pocket.config import FRAME_SIZE, RacerDecoderConfig
from flashdreams_pocket.decoder import RacerDecoder

CAR = FRAME_SIZE / 2  # row and column of the car, which faces upwards


@dataclass(kw_only=True)
class NightDecoderConfig(RacerDecoderConfig):
    """The decoder of pocket-racer, after sunset."""

    _target: type[NightDecoder] = field(default_factory=lambda: NightDecoder)

    daylight: float = 0.12
    """Share of the light that is left where no headlight reaches, 0 to 1."""
    reach: float = 26.0
    """How far ahead the headlights reach, in pixels."""
    spread: float = 0.45
    """Half the width of the beam, as a share of the distance."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.daylight <= 1:
            raise FieldValueError(
                f"daylight is {self.daylight}.",
                "It is a share of the light, from 0 (none is left) to 1 (it is day).",
                "Set daylight to 0.12, for instance.",
            )


class NightDecoder(RacerDecoder):
    """The pixels of pocket-racer, each under the light that falls on it."""

    config: NightDecoderConfig
    light: Tensor
    """Share of the daylight on each pixel, ``[3, 1, 64, 64]``."""

    def __init__(self, config: NightDecoderConfig) -> None:
        super().__init__(config)
        self.register_buffer("light", night_light(config), persistent=False)

    def forward(self, latents: Tensor) -> Tensor:
        """Latents ``[B, 8, T, 8, 8]`` to pixels ``[B, 3, T, 64, 64]`` in [-1, 1]."""
        return (super().forward(latents) + 1) * self.light - 1


def night_light(config: NightDecoderConfig) -> Tensor:
    """How much of the daylight falls on each pixel: a bluish rest, and two warm beams, ``[3, 1, 64, 64]``."""
    rows, columns = torch.meshgrid(torch.arange(FRAME_SIZE), torch.arange(FRAME_SIZE), indexing="ij")
    ahead, aside = CAR - 1 - rows, columns + 0.5 - CAR
    inside = torch.sigmoid((config.spread * ahead + 2 - aside.abs()) * 1.5)
    beam = inside * torch.exp(-((ahead / config.reach) ** 2)) * torch.sigmoid(ahead - 1.0)
    rest, lamp = torch.tensor([0.7, 0.8, 1.5]), torch.tensor([1.0, 0.95, 0.75])
    rest, lamp = ((config.daylight * rest).view(3, 1, 1, 1), lamp.view(3, 1, 1, 1))
    return (rest + (lamp - rest).clamp_min(0) * beam).clamp(0, 1)
