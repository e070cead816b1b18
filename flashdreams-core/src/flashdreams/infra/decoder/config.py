"""Configs of the decoders. No torch here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from flashdreams.errors import FieldValueError
from flashdreams.infra.config import InstantiateConfig


@dataclass(kw_only=True)
class DecoderConfig(InstantiateConfig):
    """A decoder of latents into pixels, one chunk at a time."""

    _target: Any = "flashdreams.infra.decoder.base:Decoder"

    spatial_compression: int = 8
    """Pixels per latent, in height and in width."""
    temporal_compression: int = 1
    """Pixel frames per latent frame (the first latent frame of a video may give fewer)."""

    @property
    def first_frames(self) -> int:
        """Pixel frames of the first latent frame of a video; others give ``temporal_compression``."""
        return self.temporal_compression

    def __post_init__(self) -> None:
        for name in ("spatial_compression", "temporal_compression"):
            if getattr(self, name) < 1:
                raise FieldValueError(
                    f"{name} is {getattr(self, name)}.",
                    "A decoder gives at least one pixel for each latent.",
                    f"Set {name} to 1 or more.",
                )


@dataclass(kw_only=True)
class StreamingDecoderConfig(DecoderConfig):
    """A decoder whose frames depend on earlier chunks."""

    _target: Any = "flashdreams.infra.decoder.base:StreamingDecoder"
