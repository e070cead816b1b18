"""Configs of the VAE's two halves. No torch here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from flashdreams.errors import FieldValueError
from flashdreams.infra.config.fields import config_fields
from flashdreams.infra.decoder.config import StreamingDecoderConfig
from flashdreams.infra.encoder.config import StreamingEncoderConfig
from flashdreams.io.lock import references_in

# fmt: off
PUBLISHED_MEAN = (
    -0.7571, -0.7089, -0.9113, 0.1075, -0.1745, 0.9653, -0.1517, 1.5508,
    0.4134, -0.0715, 0.5517, -0.3632, -0.1922, -0.9497, 0.2503, -0.2921,
)
"""Mean of each of Wan 2.1's latent channels (Wan-Video/Wan2.1, ``WanVAE``)."""
PUBLISHED_STD = (
    2.8184, 1.4541, 2.3275, 2.6558, 1.2196, 1.7708, 2.6052, 2.0743,
    3.2687, 2.1526, 2.8652, 1.5579, 1.6382, 1.1253, 2.8251, 1.9160,
)
"""Standard deviation of each of Wan 2.1's latent channels."""
# fmt: on

SMALLEST_TILE = 4
"""Latents of the smallest tile's side: an overlap is a quarter of it, one latent at least."""


@dataclass(kw_only=True)
class WanVAEConfig:
    """What the VAE's halves have in common: the architecture, how latents are normalised, the weights."""

    base_width: int = 96
    """Channels at full resolution."""
    latent_channels: int = 16
    """Channels of the latents."""
    multipliers: tuple[int, ...] = (1, 2, 4, 4)
    """Channels at each resolution, the full one first, in base widths; each halves height and width."""
    residual_blocks: int = 2
    """Residual blocks of the encoder at each resolution; the decoder has one more."""
    temporal: tuple[bool, ...] = (False, True, True)
    """Whether each step of the encoder to a lower resolution also halves the frames."""
    spatial_compression: int = 8
    """Pixels per latent, in height and in width; follows from the multipliers."""
    temporal_compression: int = 4
    """Pixel frames per latent frame after the first, which is one pixel frame; follows from temporal."""
    latent_mean: tuple[float, ...] | None = None
    """Mean of each latent channel; None takes the published 16, and 0 for another number of channels."""
    latent_std: tuple[float, ...] | None = None
    """Deviation of each latent channel; None takes the published 16, and 1 for another number."""
    tile: int = 0
    """Side of a tile in pixels: frames are cut into overlapping tiles, to save memory. 0: they are not."""
    weights: str = "random"
    """Weights: "random", a lock reference such as "flashdreams_wan:vae", a file or a folder."""
    weights_seed: int = 0
    """Seed of random weights."""

    @property
    def mean(self) -> tuple[float, ...]:
        """Mean of each latent channel."""
        return self.latent_mean or self._statistic(PUBLISHED_MEAN, 0.0)

    @property
    def std(self) -> tuple[float, ...]:
        """Standard deviation of each latent channel."""
        return self.latent_std or self._statistic(PUBLISHED_STD, 1.0)

    @property
    def widths(self) -> tuple[int, ...]:
        """Channels at each resolution, the full one first."""
        return tuple(self.base_width * multiplier for multiplier in self.multipliers)

    def weight_references(self) -> list[str]:
        """The entries of lock files that are needed."""
        return references_in(self.weights)

    def check_architecture(self) -> None:
        """Refuse what cannot be built.

        Raises:
            FieldValueError: Fields that are out of range, or do not fit together.
        """
        for name in ("base_width", "latent_channels", "residual_blocks"):
            _check(self, name, getattr(self, name) >= 1, "It is 1 or more.")
        _check(self, "multipliers", len(self.multipliers) >= 2, "There are two resolutions or more.")
        _check(self, "multipliers", min(self.multipliers) >= 1, "Each is 1 or more.")
        steps = len(self.multipliers) - 1
        _check(self, "temporal", len(self.temporal) == steps, f"It has {steps} values.")
        for name, halvings in (("spatial", steps), ("temporal", sum(self.temporal))):
            factor = 2**halvings
            name = f"{name}_compression"
            _check(self, name, getattr(self, name) == factor, f"This architecture compresses by {factor}.")
        self._check_channels()
        least = SMALLEST_TILE * self.spatial_compression
        whole = self.tile % self.spatial_compression == 0 and (self.tile == 0 or self.tile >= least)
        _check(self, "tile", whole, f"It is 0, or a multiple of {self.spatial_compression} from {least} on.")

    def _check_channels(self) -> None:
        odd = [width for width in self.widths[1:] if width % 2]
        _check(self, "base_width", not odd, "Channels are even but at full resolution.")
        for name in ("latent_mean", "latent_std"):
            given = getattr(self, name)
            right = f"It is None, or has {self.latent_channels} values, one for each latent channel."
            _check(self, name, given is None or len(given) == self.latent_channels, right)
        _check(self, "latent_std", min(self.std) > 0, "Each is above 0.")

    def _statistic(self, published: tuple[float, ...], otherwise: float) -> tuple[float, ...]:
        channels = self.latent_channels
        return published if channels == len(published) else (otherwise,) * channels


@dataclass(kw_only=True)
class WanVAEDecoderConfig(WanVAEConfig, StreamingDecoderConfig):
    """The decoder of the Wan 2.1 VAE (arXiv 2503.20314): normalised latents to pixels."""

    _target: Any = "flashdreams_wan.vae.decoder:WanVAEDecoder"

    @property
    def first_frames(self) -> int:
        """The first latent frame of a video is one pixel frame."""
        return 1

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check_architecture()


@dataclass(kw_only=True)
class WanVAEEncoderConfig(WanVAEConfig, StreamingEncoderConfig):
    """The encoder of the Wan 2.1 VAE (arXiv 2503.20314): pixels to normalised latents."""

    _target: Any = "flashdreams_wan.vae.encoder:WanVAEEncoder"

    def __post_init__(self) -> None:
        self.check_architecture()


def _check(config: WanVAEConfig, name: str, holds: bool, right: str) -> None:
    if not holds:
        default = next(info.default for info in config_fields(config) if info.name == name)
        raise FieldValueError(
            f"{name} is {getattr(config, name)!r}.",
            right,
            f"Correct {name}; the published VAE has {default!r}.",
        )
