"""What `import flashdreams` offers."""

from importlib import metadata

import pytest
import torch

import flashdreams
from flashdreams.errors import PluginError, UnknownFieldError
from flashdreams.plugins import registry as registry_module

TOY = """
    from flashdreams.infra.runner.config import RunnerConfig
    from flashdreams.testing.toy import toy_pipeline_config

    RUNNER = RunnerConfig(runner_name="my-slug", pipeline=toy_pipeline_config())
"""


@pytest.fixture
def toy_slug(here, monkeypatch):
    """A slug that names a toy pipeline."""
    here.module("toy_runner", TOY)
    registry = here.registry(runners={"my-slug": "toy_runner:RUNNER"})
    monkeypatch.setattr(registry_module, "installed_registry", lambda: registry)
    return registry


def test_the_version_is_that_of_the_distribution():
    assert flashdreams.__version__ == metadata.version("flashdreams-core")


def test_there_is_nothing_else():
    with pytest.raises(AttributeError, match="module 'flashdreams' has no attribute 'lod'"):
        flashdreams.lod  # noqa: B018


def test_config_gives_the_pipeline_config(toy_slug):
    config = flashdreams.config("my-slug")
    assert config.name == "toy"
    assert config is not flashdreams.config("my-slug")


def test_load_gives_a_pipeline_that_runs(toy_slug):
    pipeline = flashdreams.load("my-slug", device="cpu", width=16, decoder={"weights_seed": 5})
    assert pipeline.observers is toy_slug.observers()
    assert pipeline.device == torch.device("cpu")
    assert pipeline.config.decoder.weights_seed == 5
    with pipeline.initialize_cache(seed=0) as rollout:
        assert pipeline.generate(0, rollout).shape[-1] == 16


def test_load_refuses_what_the_config_does_not_have(toy_slug):
    with pytest.raises(UnknownFieldError):
        flashdreams.load("my-slug", device="cpu", widht=16)


def test_unknown_slugs_are_plugin_errors(toy_slug):
    for function in (flashdreams.load, flashdreams.config):
        with pytest.raises(PluginError, match="Did you mean 'my-slug'"):
            function("my-slu")
