"""Config of the decoder. No torch here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from flashdreams.errors import FieldValueError
from flashdreams.infra.decoder.config import StreamingDecoderConfig
from flashdreams.io.lock import references_in


@dataclass(kw_only=True)
class TAEHVDecoderConfig(StreamingDecoderConfig):
    """TAEHV (github.com/madebyollin/taehv), a tiny decoder of video latents; defaults fit Wan 2.1's."""

    _target: Any = "flashdreams_taehv.decoder:TAEHVDecoder"

    latent_channels: int = 16
    """Channels of the latents."""
    widths: tuple[int, int, int, int] = (256, 128, 64, 64)
    """Channels at each resolution, the lowest first."""
    blocks: int = 3
    """Blocks with memory at each resolution but the full one."""
    upscale_space: tuple[bool, bool, bool] = (True, True, True)
    """Whether each step to the next resolution doubles height and width; the weights stay the same."""
    upscale_time: tuple[bool, bool] = (True, True)
    """Whether the second and the third step double the frames; the weights stay the same."""
    spatial_compression: int = 8
    """Pixels per latent, in height and in width; follows from upscale_space."""
    temporal_compression: int = 4
    """Pixel frames per latent frame after the first, which is one pixel frame; follows from upscale_time."""
    weights: str = "random"
    """Weights: "random", a lock reference such as "flashdreams_taehv:taew2_1", or a file."""
    weights_seed: int = 0
    """Seed of random weights."""

    @property
    def first_frames(self) -> int:
        """The first latent frame of a video is one pixel frame."""
        return 1

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("latent_channels", "blocks", "widths"):
            value = getattr(self, name)
            if min(value if isinstance(value, tuple) else (value,)) < 1:
                raise FieldValueError(
                    f"{name} is {value}.",
                    "It counts, so it is 1 or more.",
                    f"Correct {name}; the published decoder has the default.",
                )
        for name, doublings in (("spatial", self.upscale_space), ("temporal", self.upscale_time)):
            given, right = getattr(self, f"{name}_compression"), 2 ** sum(doublings)
            if given != right:
                raise FieldValueError(
                    f"{name}_compression is {given}.",
                    f"With {sum(doublings)} doublings it is {right}.",
                    f"Set {name}_compression to {right}, or the doublings otherwise.",
                )

    def weight_references(self) -> list[str]:
        """The entries of lock files that are needed."""
        return references_in(self.weights)


def taew2_1() -> TAEHVDecoderConfig:
    """The decoder of Wan 2.1's latents with its published weights."""
    return TAEHVDecoderConfig(weights="flashdreams_taehv:taew2_1")
