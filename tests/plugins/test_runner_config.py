"""From a slug to its config, and what is said where that fails."""

import importlib

import pytest

from flashdreams.errors import BrokenPluginError, SlugClashError, UnknownSlugError
from flashdreams.infra.runner.config import RunnerConfig
from flashdreams.plugins.blame import Origin
from flashdreams.plugins.entries import Entry
from flashdreams.plugins.installed import RUNNER_VARIABLE, Installed
from flashdreams.plugins.registry import Registry
from flashdreams.plugins.specs import RunnerSpec


def test_a_config_is_a_slug(here):
    registry = here.runner("RUNNER = runner('my-slug')")
    assert registry.runner_config("my-slug").runner_name == "my-slug"
    assert [(e.spec.slug, e.origin.distribution, e.origin.version) for e in registry.runners()] == [
        ("my-slug", "dist-my-slug", "1.0")
    ]


def test_a_function_is_a_slug(here):
    registry = here.runner("def RUNNER(): return runner('my-slug')")
    assert isinstance(registry.runner_config("my-slug"), RunnerConfig)


def test_a_dotted_target_is_a_slug(here):
    here.runner("class Zoo: RUNNER = runner('my-slug')")
    registry = here.registry(runners={"my-slug": "my_runner:Zoo.RUNNER"})
    assert registry.runner_config("my-slug").runner_name == "my-slug"


def test_configs_are_copies(here):
    registry = here.runner("RUNNER = runner('my-slug')")
    first = registry.runner_config("my-slug")
    first.pipeline.diffusion_model.scheduler.denoising_timesteps.clear()
    assert registry.runner_config("my-slug").pipeline.diffusion_model.scheduler.denoising_timesteps


BROKEN = {
    "import no_such_module": "ModuleNotFoundError: No module named 'no_such_module'",
    "raise RuntimeError('first line\\nsecond line')": "RuntimeError: first line second line",
    "import sys; sys.exit('bye')": "SystemExit: bye",
    "pass": "AttributeError: module 'my_runner' has no attribute 'RUNNER'",
    "RUNNER = 3": "my_runner:RUNNER is an int, not a RunnerConfig",
    "def RUNNER(): return None": "my_runner:RUNNER returned None, not a RunnerConfig",
    "def RUNNER(): return runner('my-slug').pipeline": (
        "my_runner:RUNNER returned a StreamInferencePipelineConfig, not a RunnerConfig"
    ),
    "def RUNNER(name): return runner(name)": (
        "TypeError: RUNNER() missing 1 required positional argument: 'name'"
    ),
    "RUNNER = runner('other')": "the runner_name of my_runner:RUNNER is 'other', not the slug",
    "class Odd(Exception):\n    def __str__(self): raise OSError\nraise Odd": "Odd",
    "from flashdreams.infra.runner.config import RunnerConfig as RUNNER": (
        "TypeError: RunnerConfig.__init__() missing 2 required keyword-only arguments: "
        "'runner_name' and 'pipeline'"
    ),
    "RUNNER = runner('my-slug'); RUNNER.seed = (_ for _ in ())": (
        "TypeError: cannot pickle 'generator' object"
    ),
    "from flashdreams.infra.encoder.config import NullEncoderConfig\nRUNNER = NullEncoderConfig()": (
        "my_runner:RUNNER is a NullEncoderConfig, not a RunnerConfig"
    ),
    "import dataclasses\nRUNNER = dataclasses.replace(runner('my-slug'), fps=0)": (
        "FieldValueError: fps is 0."
    ),
}


@pytest.mark.parametrize("text", BROKEN)
def test_a_broken_slug_is_blamed_in_one_line(here, text):
    registry = here.runner(text)
    with pytest.raises(BrokenPluginError) as raised:
        registry.runner_config("my-slug")
    assert raised.value.what == f"slug my-slug (dist-my-slug 1.0) failed: {BROKEN[text]}"
    assert raised.value.right == "It names a RunnerConfig, or a function without arguments that returns one."
    assert raised.value.next == "See the traceback with: flashdreams plugins -v"
    assert raised.value.__cause__ is not None


def test_check_names_what_fails_and_keeps_the_traceback(here):
    registry = here.runner("RUNNER = 1 / 0")
    (fault,) = registry.check(registry.runners())
    assert fault.blame == "slug my-slug (dist-my-slug 1.0) failed: ZeroDivisionError: division by zero"
    assert "RUNNER = 1 / 0" in fault.traceback


@pytest.mark.parametrize(
    ("target", "hint"),
    [("absent:X", True), ("absent.deeper:X", True), ("my_runner:X", False)],
    ids=["module", "package", "its import"],
)
def test_a_module_of_the_variable_that_is_absent_gets_a_hint(here, target, hint):
    here.runner("import scipy_that_is_absent")
    registry = Registry(Installed(runners=[Entry(RunnerSpec("s", "", target), Origin(RUNNER_VARIABLE))]))
    with pytest.raises(BrokenPluginError) as raised:
        registry.runner_config("s")
    absent = "absent" if hint else "scipy_that_is_absent"
    assert raised.value.what == (
        f"slug s (FLASHDREAMS_RUNNER_CONFIGS) failed: ModuleNotFoundError: No module named '{absent}'"
        + " (is its folder on PYTHONPATH?)" * hint
    )


def test_an_absent_module_of_a_distribution_gets_no_hint(here):
    (fault,) = here.registry(runners={"s": "absent:X"}).check(
        here.registry(runners={"s": "absent:X"}).runners()
    )
    assert fault.reason == "ModuleNotFoundError: No module named 'absent'"


def test_a_long_reason_is_cut(here):
    registry = here.runner("raise ValueError('x' * 10_000)")
    (fault,) = registry.check(registry.runners())
    assert len(fault.blame) < 400
    assert fault.blame.endswith("x…")


def test_an_interrupt_is_no_plugin_failure(here):
    registry = here.runner("raise KeyboardInterrupt")
    with pytest.raises(KeyboardInterrupt):
        registry.runner_config("my-slug")


def test_a_slug_can_be_repaired_without_restarting(here):
    registry = here.runner("RUNNER = late()")
    assert registry.check(registry.runners())
    here.runner("RUNNER = runner('my-slug')")
    importlib.invalidate_caches()
    assert registry.runner_config("my-slug")


def test_an_unknown_slug_gets_the_nearest(here):
    registry = here.runner("")
    with pytest.raises(UnknownSlugError) as raised:
        registry.runner_config("my-slugg")
    assert raised.value.what == "There is no slug 'my-slugg'."
    assert raised.value.right == "Did you mean 'my-slug'?"
    assert raised.value.next == "See every slug with: flashdreams list"


def test_an_unlike_slug_gets_the_list(here):
    with pytest.raises(UnknownSlugError, match=r"There are: my-slug\."):
        here.runner("").runner_config("1234")


def test_nothing_installed_is_said(here):
    with pytest.raises(UnknownSlugError, match=r"There are none\."):
        here.registry().runner_config("1234")


def test_an_unknown_slug_may_belong_to_what_failed(here):
    registry = here.registry(plugins={"lost": "no_such_module"})
    with pytest.raises(UnknownSlugError) as raised:
        registry.runner_config("1234")
    assert raised.value.next == (
        "See every slug with: flashdreams list "
        "(and what failed to load, dist-lost first, with: flashdreams plugins)"
    )


TWO = """
    @hookimpl
    def flashdreams_runners():
        return [RunnerSpec("my-slug", "One.", "x:A"), RunnerSpec("one", "One.", "x:A")]
"""


def two_claimants(here):
    here.plugin(TWO, "a")
    here.plugin(TWO.replace('"one"', '"two"'), "b")
    return here.registry(plugins={"a": "a_plugin", "b": "b_plugin"})


def test_of_two_claimants_neither_wins(here):
    registry = two_claimants(here)
    assert [runner.spec.slug for runner in registry.runners()] == ["one", "two"]
    with pytest.raises(SlugClashError) as raised:
        registry.runner_config("my-slug")
    assert raised.value.what == (
        "slug my-slug is claimed by plugin a (dist-a 1.0) and by plugin b (dist-b 1.0): none of them has it."
    )
    assert raised.value.right == "A name belongs to one plugin."
    assert raised.value.next == "Uninstall all but one of them: pip uninstall dist-a dist-b"


def test_one_target_through_both_ways_is_no_clash(here):
    registry = both_ways(here, "x:A")
    assert [(runner.spec.slug, runner.spec.summary) for runner in registry.runners()] == [("my-slug", "One.")]
    assert registry.clashes() == []


def test_two_targets_through_both_ways_clash(here):
    registry = both_ways(here, "x:B")
    assert registry.runners() == []
    with pytest.raises(SlugClashError) as raised:
        registry.runner_config("my-slug")
    assert raised.value.what == (
        "slug my-slug is claimed by plugin a (dist-a 1.0) and by dist-a 1.0: none of them has it."
    )
    assert raised.value.next == "Ask the authors of dist-a to register it once."


def both_ways(here, target):
    here.plugin(TWO.replace(', RunnerSpec("one", "One.", "x:A")', ""), "a")
    simple = Entry(RunnerSpec("my-slug", "", target), Origin("dist-a", "1.0"))
    return Registry(Installed({Origin("dist-a", "1.0", "a"): "a_plugin"}, [simple]))
