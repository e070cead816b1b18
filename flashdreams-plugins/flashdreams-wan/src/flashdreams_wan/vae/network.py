"""The networks of the Wan 2.1 VAE (arXiv 2503.20314), one latent frame at a time.

``EncoderNetwork`` and ``DecoderNetwork`` each have their half of the published checkpoint, under its
names. Frames are ``[B, T, H, W, C]``, as in :mod:`flashdreams_wan.vae.layers`. Each network runs in two
parts, that at the lowest resolution and that above it, since only the latter is worth cutting into tiles.
"""

from __future__ import annotations

from collections.abc import Iterable

from torch import Tensor, nn

from flashdreams_wan.vae.config import WanVAEConfig
from flashdreams_wan.vae.layers import CausalConv, Head, ResidualBlock, behind, middle, pointwise
from flashdreams_wan.vae.past import Past
from flashdreams_wan.vae.resample import Downsample, Upsample
from flashdreams_wan.vae.tiles import in_tiles

RGB = 3


class EncoderNetwork(nn.Module):
    """Pixels to the mean of the posterior over latents, not normalised."""

    def __init__(self, config: WanVAEConfig) -> None:
        super().__init__()
        self.latent_channels, self.scale = config.latent_channels, config.spatial_compression
        self.tile = config.tile // self.scale
        self.encoder = Encoder(config)
        self.conv1 = nn.Conv3d(2 * config.latent_channels, 2 * config.latent_channels, 1)

    def forward(self, frames: Tensor, past: Past) -> Tensor:
        """The first pixel frame, or the next four: ``[B, 1 or 4, 8h, 8w, 3]`` to ``[B, 1, h, w, C]``."""
        frames = in_tiles(self.encoder.go_down, frames, past, tile=self.tile, scales=(self.scale, 1))
        return pointwise(self.conv1, self.encoder.finish(frames, past))[..., : self.latent_channels]


class DecoderNetwork(nn.Module):
    """Latents, not normalised, to pixels."""

    def __init__(self, config: WanVAEConfig) -> None:
        super().__init__()
        self.scale = config.spatial_compression
        self.tile = config.tile // self.scale
        self.conv2 = nn.Conv3d(config.latent_channels, config.latent_channels, 1)
        self.decoder = Decoder(config)

    def forward(self, frames: Tensor, past: Past) -> Tensor:
        """A latent frame to its pixel frames: ``[B, 1, h, w, C]`` to ``[B, 1 or 4, 8h, 8w, 3]``."""
        frames = self.decoder.begin(pointwise(self.conv2, frames), past)
        return in_tiles(self.decoder.go_up, frames, past, tile=self.tile, scales=(1, self.scale))


class Encoder(nn.Module):
    """From the full resolution down, then the middle and the head."""

    def __init__(self, config: WanVAEConfig) -> None:
        super().__init__()
        channels = config.base_width
        self.conv1 = CausalConv(RGB, channels)
        self.downsamples = nn.ModuleList()
        for level, width in enumerate(config.widths):
            for _ in range(config.residual_blocks):
                self.downsamples.append(ResidualBlock(channels, width))
                channels = width
            if level < len(config.temporal):
                self.downsamples.append(Downsample(width, config.temporal[level]))
        self.middle = middle(channels)
        self.head = Head(channels, 2 * config.latent_channels)

    def go_down(self, frames: Tensor, past: Past) -> Tensor:
        """Pixel frames to features at the lowest resolution."""
        return through(self.downsamples, self.conv1(behind(past, frames), past), past)

    def finish(self, frames: Tensor, past: Past) -> Tensor:
        """Features to the mean and log variance of a latent frame."""
        return through((*self.middle, self.head), frames, past)


class Decoder(nn.Module):
    """The middle at the lowest resolution, then up to the full one, and the head."""

    def __init__(self, config: WanVAEConfig) -> None:
        super().__init__()
        channels = config.widths[-1]
        self.conv1 = CausalConv(config.latent_channels, channels)
        self.middle = middle(channels)
        self.upsamples = nn.ModuleList()
        for level, width in enumerate(reversed(config.widths)):
            for _ in range(config.residual_blocks + 1):
                self.upsamples.append(ResidualBlock(channels, width))
                channels = width
            if level < len(config.temporal):
                self.upsamples.append(Upsample(width, config.temporal[-1 - level]))
                channels = width // 2
        self.head = Head(channels, RGB)

    def begin(self, frames: Tensor, past: Past) -> Tensor:
        """A latent frame to features at the lowest resolution."""
        return through(self.middle, self.conv1(behind(past, frames), past), past)

    def go_up(self, frames: Tensor, past: Past) -> Tensor:
        """Features to pixel frames."""
        return through((*self.upsamples, self.head), frames, past)


def through(layers: Iterable[nn.Module], frames: Tensor, past: Past) -> Tensor:
    """Frames after one layer and the next."""
    for layer in layers:
        frames = layer(frames, past)
    return frames
