"""Deprecations: who uses a deprecated thing is warned, and `flashdreams plugins` says who does."""

import types
import warnings
from dataclasses import dataclass

import pluggy
import pytest

from flashdreams.cli.plugins import described, text
from flashdreams.deprecation import (
    DEPRECATIONS,
    Deprecation,
    FlashDreamsDeprecationWarning,
    deprecated,
    deprecated_field,
    noticing,
)
from flashdreams.infra.config import InstantiateConfig, copy_config, derive_config
from flashdreams.infra.config.fields import config_fields
from flashdreams.plugins import hookspecs
from flashdreams.plugins.report import report

OLD = Deprecation("function old", since="0.2", replacement="use new", gone_in="0.4")
BLOCKS = Deprecation("field ToyConfig.blocks", since="0.1", replacement="set chunks", gone_in="0.3")
HOOK = Deprecation("hook flashdreams_rollout_started", "0.2", "implement another", "0.4")
ARGUMENT = Deprecation("argument index of a hook", "0.2", "take number", "0.4")
MESSAGE = "function old is deprecated since flashdreams-core 0.2 and will be gone in 0.4: use new"


@deprecated(OLD)
def old(value: int) -> int:
    """What was."""
    return value + 1


@dataclass(kw_only=True)
class ToyConfig(InstantiateConfig):
    """A config with a deprecated field."""

    _target: object = dict
    chunks: int = 3
    """How many."""
    blocks: int | None = deprecated_field(BLOCKS)
    """How many, once."""


def test_a_deprecated_function_works_and_warns_its_caller():
    with pytest.warns(FlashDreamsDeprecationWarning) as caught:
        assert old(1) == 2
    assert (old.__name__, old.__doc__) == ("old", "What was.")
    assert [(str(each.message), each.filename) for each in caught] == [(MESSAGE, __file__)]
    assert caught[0].message.deprecation is OLD


def test_a_deprecated_field_is_a_field_like_any_other_and_warns_whoever_sets_it():
    assert [info.name for info in config_fields(ToyConfig)] == ["chunks", "blocks"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        config = derive_config(ToyConfig(), chunks=4)
        assert (config.blocks, copy_config(config)) == (None, config)
    with pytest.warns(FlashDreamsDeprecationWarning, match="set chunks") as caught:
        assert ToyConfig(blocks=5).blocks == 5
    assert caught[0].filename == __file__
    with pytest.warns(FlashDreamsDeprecationWarning, match="set chunks"):
        assert derive_config(config, blocks=6).blocks == 6


@pytest.mark.filterwarnings("ignore::flashdreams.deprecation.FlashDreamsDeprecationWarning")
def test_what_is_used_can_be_noticed_and_each_once():
    with noticing() as outer:
        old(1)
        with noticing() as inner:
            ToyConfig(blocks=1)
            old(2)
            old(3)
        old(4)
    old(5)
    assert (outer, inner) == ([OLD], [BLOCKS, OLD])


@pytest.fixture
def api(monkeypatch):
    """A plugin API in which a hook and an argument of another are deprecated."""
    hookspec = pluggy.HookspecMarker("flashdreams")
    specs = types.ModuleType("specs")
    for name in ("flashdreams_runners", "flashdreams_components", "flashdreams_commands"):
        setattr(specs, name, getattr(hookspecs, name))

    @hookspec(warn_on_impl=HOOK.warning)
    def flashdreams_rollout_started(rollout):
        """Deprecated."""

    @hookspec(warn_on_impl_args={"index": ARGUMENT.warning})
    def flashdreams_chunk_generated(rollout, index, chunk):
        """With a deprecated argument."""

    specs.flashdreams_rollout_started = flashdreams_rollout_started
    specs.flashdreams_chunk_generated = flashdreams_chunk_generated
    monkeypatch.setattr("flashdreams.plugins.loading.hookspecs", specs)


IMPLEMENTATION = """
    @hookimpl
    def flashdreams_rollout_started(rollout): ...

    @hookimpl
    def flashdreams_chunk_generated(chunk{argument}): ...
"""


@pytest.mark.usefixtures("api")
def test_a_plugin_that_implements_a_deprecated_hook_is_warned_and_shown(here):
    registry = here.plugin(IMPLEMENTATION.format(argument=", index"))
    with pytest.warns(FlashDreamsDeprecationWarning) as caught:
        (plugin,) = report(registry)
    assert {each.message.deprecation for each in caught} == {HOOK, ARGUMENT}
    assert {each.filename for each in caught} == {str(here.folder / "given_plugin.py")}
    assert plugin.deprecations == [ARGUMENT, HOOK]
    assert plugin.is_healthy
    assert f"  deprecated  {HOOK.message}\n" in text(described(plugin))


@pytest.mark.usefixtures("api")
def test_who_does_without_the_argument_is_left_alone(here):
    with pytest.warns(FlashDreamsDeprecationWarning):
        (plugin,) = report(here.plugin(IMPLEMENTATION.format(argument="")))
    assert plugin.deprecations == [HOOK]


@pytest.mark.filterwarnings("ignore::flashdreams.deprecation.FlashDreamsDeprecationWarning")
def test_what_a_slug_uses_when_it_is_loaded_is_shown_too(here):
    here.module("old_things", "from flashdreams.deprecation import *\nOLD = Deprecation('x', '1', 'y', '2')")
    registry = here.runner("from old_things import OLD\nOLD.warn()\nRUNNER = runner('my-slug')")
    (plugin,) = report(registry)
    assert [each.name for each in plugin.deprecations] == ["x"]
    assert plugin.is_healthy


def test_nothing_of_core_is_deprecated_beyond_its_time():
    from packaging.version import Version

    from flashdreams import __version__

    for each in DEPRECATIONS:
        assert Version(each.since) <= Version(__version__) < Version(each.gone_in), each.message
