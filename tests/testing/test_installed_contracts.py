"""What an installed plugin is held to; and why something of it is left out on this machine."""

from dataclasses import dataclass
from typing import Any

import pytest
from torch import nn

from flashdreams.errors import PluginError
from flashdreams.infra.config import derive_config
from flashdreams.infra.decoder.base import Decoder, DecoderConfig
from flashdreams.infra.runner.base import Runner, RunnerConfig
from flashdreams.plugins.specs import ComponentSpec, RunnerSpec
from flashdreams.testing import PluginContract, SchedulerContract
from flashdreams.testing.contract import run_checks
from flashdreams.testing.installed_contracts import contracts_of
from flashdreams.testing.installed_plugin import find_plugin
from flashdreams.testing.obstacles import obstacle_to_component, obstacle_to_slug
from flashdreams.testing.toy import ToyDecoderConfig, toy_pipeline_config

SLUG = RunnerSpec("toy", "A toy.", "nowhere:TOY")
PART = ComponentSpec("decoder", "toy", "A toy.", "nowhere:TOY")


def runner(**changes):
    return derive_config(
        RunnerConfig(runner_name="toy", pipeline=toy_pipeline_config(), device="cpu"), **changes
    )


def test_everything_that_core_adds_is_checked():
    contracts = contracts_of("flashdreams-core")
    assert [contract.__name__ for contract in contracts] == [
        "plugin flashdreams-core",
        "component encoder null",
        "component scheduler flow-match",
        "component scheduler flow-match-euler",
        "component scheduler unipc",
    ]
    assert [contract.__base__ for contract in contracts[::2]] == [PluginContract, *[SchedulerContract] * 2]
    (result,) = run_checks(contracts[1])
    assert (result.outcome, result.message) == ("skipped", "no slug of the plugin shows what it encodes")


def test_a_plugin_is_found_by_any_spelling_and_by_its_entry_point():
    assert {find_plugin(name).name for name in ("Flashdreams_Core", "core", "flashdreams-core")} == {
        "flashdreams-core"
    }
    with pytest.raises(PluginError, match="Did you mean 'flashdreams-core'"):
        find_plugin("flashdreams-cor")


def test_a_toy_has_no_obstacle():
    assert obstacle_to_slug(SLUG, runner()) is None
    assert obstacle_to_component(PART, ToyDecoderConfig()) is None


def test_what_the_machine_lacks():
    lacking = RunnerSpec("toy", "A toy.", "nowhere:TOY", needs=("no_such_module",))
    assert obstacle_to_slug(lacking, runner()) == "the module no_such_module is not installed"


@dataclass(kw_only=True)
class FetchedDecoderConfig(DecoderConfig):
    """A decoder whose weights would be fetched."""

    weights: str = "flashdreams_taehv:taew2_1"

    def weight_references(self):
        return [self.weights]


def test_weights_that_are_not_here(monkeypatch, tmp_path):
    pytest.importorskip("flashdreams_taehv")
    monkeypatch.setenv("FLASHDREAMS_CACHE", str(tmp_path))
    reason = obstacle_to_slug(SLUG, runner(pipeline=dict(decoder=FetchedDecoderConfig())))
    assert reason == "flashdreams_taehv:taew2_1 is not on this machine (flashdreams download toy)"
    assert list(tmp_path.iterdir()) == []


class HugeDecoder(Decoder):
    def __init__(self, config):
        super().__init__(config)
        self.mix = nn.Linear(10**6, 10**6, device="meta")


@dataclass(kw_only=True)
class HugeDecoderConfig(DecoderConfig):
    """A decoder of 4 TB."""

    _target: Any = HugeDecoder


def test_what_memory_does_not_hold():
    reason = obstacle_to_component(PART, HugeDecoderConfig())
    assert reason.startswith("it takes 3725.29 GiB, and this machine has ")


def test_what_would_take_hours():
    wide = dict(width=1024, heads=16, layers=8)
    pipeline = dict(height=96, width=96, diffusion_model=dict(transformer=wide))
    assert "TFLOP: on a CPU the checks would take hours" in obstacle_to_slug(SLUG, runner(pipeline=pipeline))


class NeedsAnImage(Runner):
    def conditions(self):
        from flashdreams.errors import InputError

        raise InputError("No first frame was given.", "It starts from an image.", "Give one.")


def test_a_slug_that_cannot_begin_by_itself():
    assert obstacle_to_slug(SLUG, runner(_target=NeedsAnImage)) == (
        "it needs more to begin: No first frame was given."
    )
