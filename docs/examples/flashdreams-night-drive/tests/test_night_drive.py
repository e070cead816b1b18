"""The plugin, held to what the kit asks of every plugin, and to what its parts are for."""

import torch

from flashdreams.testing import DecoderContract, EncoderContract, PipelineContract, PluginContract
from flashdreams_night_drive.headlights import NightDecoderConfig, night_light
from flashdreams_night_drive.steering import SlowWheelEncoderConfig

STRAIGHT, LEFT = (0.0, 0.3, 0.0), (-1.0, 0.3, 0.0)


class TestPlugin(PluginContract):
    distribution = "flashdreams-night-drive"


class TestNightDecoder(DecoderContract):
    config = NightDecoderConfig()
    latent_channels = 8
    latent_size = (8, 8)


class TestSlowWheelEncoder(EncoderContract):
    config = SlowWheelEncoderConfig()
    inputs = (STRAIGHT, LEFT)


class TestNightDrive(PipelineContract):
    slug = "night-drive"


def test_it_is_dark_beside_the_beam_and_brightest_in_front_of_the_car():
    light = night_light(NightDecoderConfig(daylight=0.1))[:, 0]
    assert light[:, 60].max() < 0.2
    assert light[0, 26, 32] > 5 * light[0, 26, 4]
    assert light[0, 26, 32] > light[0, 4, 32]


def test_by_day_there_is_no_night():
    assert night_light(NightDecoderConfig(daylight=1.0)).min() >= 0.7


def test_the_wheel_turns_no_faster_than_it_may():
    encoder = SlowWheelEncoderConfig(turn=0.4).setup()
    state, wheel = None, []
    for control in (LEFT, LEFT, LEFT, STRAIGHT):
        controls, state = encoder(control, state)
        wheel.append(controls[0, 0])
    torch.testing.assert_close(torch.stack(wheel), torch.tensor([-0.4, -0.8, -1.0, -0.6]))
