"""Config of the decoder. No torch here: whoever lists components waits for none."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from flashdreams.errors import FieldValueError
from flashdreams.infra.decoder.config import DecoderConfig


@dataclass(kw_only=True)
class LatentViewConfig(DecoderConfig):
    """Three channels of the latents, shown as they are."""

    _target: Any = "flashdreams_scope.latent_view:LatentView"

    channels: tuple[int, int, int] = (0, 1, 2)
    """Channels of the latents that are shown as red, green and blue."""
    gain: float = 0.5
    """What they are multiplied by; beyond about 2 / gain, colours saturate."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if min(self.channels) < 0:
            raise FieldValueError(
                f"channels is {self.channels}.",
                "Channels of latents are counted from 0.",
                "Set channels to 0 1 2, for instance.",
            )
