"""Plugins that were written outside of this repository are served, with controls that work, as they are."""

import os
import textwrap
from contextlib import contextmanager

import numpy as np
import pytest

from flashdreams.client import Client
from flashdreams_serve.bench.server_process import running_server

WEATHER = '''
"""A plugin that knows nothing of serving: its controls are examples, or are described by its runner."""

from dataclasses import dataclass

from flashdreams.infra.config import derive_config
from flashdreams.infra.runner.base import Capabilities, Runner
from flashdreams.infra.runner.steering import Axis, Choice, Steering
from flashdreams_pocket.config import POCKET_RACER, RacerRunnerConfig


class ExamplesRunner(Runner):
    capabilities = Capabilities(controls=True)

    def control(self, index, last_chunk):
        return (0.0, 0.3, 0.0)

    def control_examples(self):
        return [(0.0, 0.3, 0.0), (-0.9, 0.3, 0.0), (0.9, 0.3, 0.0)]


class GearsRunner(Runner):
    def control(self, index, last_chunk):
        return (0.0, 0.0, 0.0)

    def steering(self):
        wheel = Axis(name="wheel", low=-1, high=1, keys={"KeyJ": -0.9, "KeyL": 0.9})
        gear = Choice(name="gear", options=("neutral", "first", "second"), keys={"Digit1": "first"})
        return Steering(axes=(wheel,), choices=(gear,), starts=("straight", "hairpin"))

    def steered(self, values):
        return (values["wheel"], {"neutral": 0.0, "first": 0.2, "second": 0.6}[values["gear"]], 0.0)


@dataclass(kw_only=True)
class WeatherRunnerConfig(RacerRunnerConfig):
    _target: str = "weather:ExamplesRunner"


@dataclass(kw_only=True)
class GearsRunnerConfig(RacerRunnerConfig):
    _target: str = "weather:GearsRunner"


EXAMPLES = WeatherRunnerConfig(runner_name="examples", pipeline=derive_config(POCKET_RACER.pipeline))
GEARS = GearsRunnerConfig(runner_name="gears", pipeline=derive_config(POCKET_RACER.pipeline))
'''


@contextmanager
def served(slug, folder, **options):
    """The address at which a slug is served, once it is ready; videos are saved in a folder."""
    with running_server([slug, "--save-dir", str(folder)], **options) as server:
        server.wait_ready()
        yield server.url
        assert server.end() == 0


def driven(client, frames=24, **values):
    """The frame of the chunk ``frames`` of a session in which ``values`` were set from its first chunk on."""
    with client.open(seed=3, codec="png") as session:
        session.pause()
        session.set(**values)
        session.reset(seed=3)
        session.resume()
        for frame in session.frames():
            if frame.chunk >= frames and frame.seq:
                return frame.pixels


def test_examples_of_controls_become_choices(outside):
    with outside("examples") as address, Client(address) as client:
        (model,) = client.models()
        (choice,) = model["steering"]["choices"]
        assert len(choice["options"]) == 3
        _, left, right = (driven(client, control=option) for option in choice["options"])
        assert np.abs(left.astype(int) - right).mean() > 5


def test_a_runner_that_describes_its_controls_is_steered_by_them(outside):
    with outside("gears") as address, Client(address) as client:
        (model,) = client.models()
        assert model["steering"]["axes"][0]["keys"] == {"KeyJ": -0.9, "KeyL": 0.9}
        assert model["steering"]["starts"] == ["straight", "hairpin"]
        left, right = (driven(client, wheel=wheel, gear="second") for wheel in (-0.9, 0.9))
        assert np.abs(left.astype(int) - right).mean() > 5


@pytest.fixture
def outside(tmp_path):
    """Serves a slug of the plugin, which is nowhere installed."""
    tmp_path.joinpath("weather.py").write_text(textwrap.dedent(WEATHER))
    slugs = "examples=weather:EXAMPLES,gears=weather:GEARS"
    variables = {**os.environ, "PYTHONPATH": str(tmp_path), "FLASHDREAMS_RUNNER_CONFIGS": slugs}
    return lambda slug: served(slug, tmp_path / "saved", env=variables)


@pytest.mark.slow
def test_a_plugin_is_served_from_its_wheel(racer_environment, wheels, tmp_path):
    racer_environment.install(wheels["flashdreams-serve"])
    command = [str(racer_environment.scripts / "flashdreams")]
    with (
        served("night-drive", tmp_path, command=command, env=racer_environment.variables) as address,
        Client(address) as client,
    ):
        (model,) = client.models()
        assert [axis["name"] for axis in model["steering"]["axes"]] == ["steer", "gas", "brake"]
        left, right = (driven(client, steer=steer, gas=0.3) for steer in (-0.5, 0.5))
        assert np.abs(left.astype(int) - right).mean() > 2
