"""The plugin and its components keep their contracts, alone."""

from flashdreams.testing import DecoderContract, EncoderContract, PluginContract


class TestPlugin(PluginContract):
    distribution = "flashdreams-pocket"


class TestDriveControl(EncoderContract):
    component = "pocket-drive-control"
    inputs = ((0.0, 1.0, 0.0), (-1.0, 0.0, 0.5))


class TestStartClip(EncoderContract):
    component = "pocket-start-clip"
    kind = "context_encoder"
    conditions = ({"first_frame": "straight"}, {"first_frame": "hairpin"})
    size = (64, 64)


class TestRacerDecoder(DecoderContract):
    component = "pocket-racer"
    latent_channels = 8
    latent_size = (8, 8)
