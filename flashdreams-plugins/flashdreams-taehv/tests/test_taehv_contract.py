"""The plugin and its decoder, at a small width, keep their contracts."""

from flashdreams.testing import DecoderContract, PluginContract
from flashdreams_taehv.config import TAEHVDecoderConfig


class TestPlugin(PluginContract):
    distribution = "flashdreams-taehv"


class TestTAEHV(DecoderContract):
    config = TAEHVDecoderConfig(widths=(12, 8, 6, 4))
    latent_size = (2, 3)


class TestTAEHVWithFewerFrames(DecoderContract):
    config = TAEHVDecoderConfig(
        widths=(8, 8, 8, 8), blocks=1, upscale_time=(True, False), temporal_compression=2
    )
    latent_size = (2, 3)
    chunks = (1, 1, 1)
