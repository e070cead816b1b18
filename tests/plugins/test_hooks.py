"""Plugins of the full way: what they register, and what is said of those that do it wrong."""

import sys

import pytest

from flashdreams.cli.main import COMMANDS
from flashdreams.errors import BrokenPluginError, ClashError, UnknownCommandError, UnknownComponentError
from flashdreams.infra.diffusion.scheduler.config import UniPCSchedulerConfig
from flashdreams.plugins.blame import Origin
from flashdreams.plugins.installed import Installed
from flashdreams.plugins.registry import CORE_COMMANDS, Registry

CORE_UNIPC = "flashdreams.infra.diffusion.scheduler.config:UniPCSchedulerConfig"

GOOD = """
    ENCODERS = "flashdreams.infra.encoder.config"

    @hookimpl
    def flashdreams_components():
        return [
            ComponentSpec("encoder", "nothing", "Nothing.", f"{ENCODERS}:NullEncoderConfig"),
            ComponentSpec("decoder", "lost", "Lost.", "no_such_module:Config", needs=("cuda",)),
            ComponentSpec("decoder", "wrong", "No config.", f"{ENCODERS}:Any"),
        ]

    @hookimpl
    def flashdreams_commands():
        return [
            CommandSpec("greet", "Greets.", "given_plugin:greet"),
            CommandSpec("list", "Another list.", "given_plugin:greet"),
            CommandSpec("lost", "Lost.", "given_plugin:lost"),
            CommandSpec("number", "No function.", "given_plugin:NUMBER"),
        ]

    NUMBER = 3

    def greet(argv):
        print("hello", *argv)
        return 7
"""


def test_components_are_listed_by_kind(here):
    registry = here.plugin(GOOD)
    assert [(c.spec.kind, c.spec.name) for c in registry.components()] == [
        ("decoder", "lost"),
        ("decoder", "wrong"),
        ("encoder", "nothing"),
    ]
    (encoder,) = registry.components("encoder")
    assert (encoder.spec.summary, str(encoder.origin)) == ("Nothing.", "dist-given 1.0")


def test_a_component_gives_its_config(here):
    registry = here.plugin(GOOD)
    config = registry.component_config("encoder", "nothing")
    assert type(config).__name__ == "NullEncoderConfig"
    assert registry.component_of(config).spec.name == "nothing"
    assert config is not registry.component_config("encoder", "nothing")


def test_unknown_kinds_and_components_get_the_nearest(here):
    registry = here.plugin(GOOD)
    with pytest.raises(UnknownComponentError) as raised:
        registry.components("encodr")
    assert raised.value.what == "There is no kind of component 'encodr'."
    assert raised.value.right == "Did you mean 'encoder'?"
    with pytest.raises(UnknownComponentError) as raised:
        registry.component_config("encoder", "nothin")
    assert raised.value.what == "There is no encoder 'nothin'."
    assert raised.value.right == "Did you mean 'nothing'?"
    assert raised.value.next == "See them all with: flashdreams components encoder"


def test_a_broken_component_is_blamed(here):
    registry = here.plugin(GOOD)
    with pytest.raises(BrokenPluginError) as raised:
        registry.component_config("decoder", "lost")
    assert raised.value.what == (
        "component decoder lost (dist-given 1.0) failed: "
        "ModuleNotFoundError: No module named 'no_such_module'"
    )
    assert (
        raised.value.right
        == "It names a config, its class, or a function without arguments that returns one."
    )
    assert len(registry.check(registry.components())) == 2


def test_commands_run(here, capsys):
    assert here.plugin(GOOD).command("greet")(["you"]) == 7
    assert capsys.readouterr().out == "hello you\n"


def test_a_command_cannot_shadow_one_of_core(here):
    registry = here.plugin(GOOD)
    assert [command.spec.name for command in registry.commands()] == ["greet", "lost", "number"]
    (fault,) = registry.broken()
    assert fault.blame == (
        "command list (dist-given 1.0) failed: that is the name of a command of core, which stays"
    )


def test_the_names_of_core_are_those_of_the_command_line():
    assert set(CORE_COMMANDS) == set(COMMANDS)


def test_broken_and_unknown_commands_are_told(here):
    registry = here.plugin(GOOD)
    with pytest.raises(BrokenPluginError, match="has no attribute 'lost'") as raised:
        registry.command("lost")
    assert raised.value.right == "It names a function main(argv: list[str]) -> int."
    with pytest.raises(BrokenPluginError, match="given_plugin:NUMBER is no function"):
        registry.command("number")
    with pytest.raises(UnknownCommandError) as raised:
        registry.command("lisst")
    assert raised.value.what == "There is no command 'lisst'."
    assert raised.value.right == "Did you mean 'list'?"


def test_components_and_commands_clash_too(here):
    here.plugin(GOOD, "given")
    here.plugin(GOOD, "other")
    registry = here.registry(plugins={"given": "given_plugin", "other": "other_plugin"})
    assert registry.components() == []
    with pytest.raises(ClashError, match="component encoder nothing is claimed by plugin given"):
        registry.component_config("encoder", "nothing")
    with pytest.raises(ClashError, match="command greet is claimed by plugin given"):
        registry.command("greet")


WRONG = {
    "import no_such_module": "ModuleNotFoundError: No module named 'no_such_module'",
    "raise ValueError('no')": "ValueError: no",
    "import sys; sys.exit(3)": "SystemExit: 3",
    "def flashdreams_runners(): return []": (
        "given_plugin implements no hook: mark its functions with @hookimpl"
    ),
    "@hookimpl\ndef flashdreams_runners(): pass": (
        "flashdreams_runners() returned None, not a list of RunnerSpec"
    ),
    "@hookimpl\ndef flashdreams_runners(): return {'a': 'b'}": (
        "flashdreams_runners() returned {'a': 'b'}, not a list of RunnerSpec"
    ),
    "@hookimpl\ndef flashdreams_runners(): return ['a']": (
        "flashdreams_runners() returned a list with 'a', which is no RunnerSpec"
    ),
    "@hookimpl\ndef flashdreams_commands(): return [CommandSpec('my command', '', 'a:b')]": (
        "FieldValueError: CommandSpec.name is 'my command'."
    ),
    "@hookimpl\ndef flashdreams_components(): return 1 / 0": "ZeroDivisionError: division by zero",
    "@hookimpl\ndef flashdreams_runers(): return []": (
        "PluginValidationError: unknown hook 'flashdreams_runers' in plugin"
    ),
    "@hookimpl\ndef flashdreams_runners(registry): return []": (
        "PluginValidationError: Plugin 'given' for hook 'flashdreams_runners' hookimpl definition"
    ),
}


@pytest.mark.parametrize("text", WRONG)
def test_a_wrong_plugin_is_blamed_in_one_line_and_stops_nobody(here, text):
    here.plugin("@hookimpl\ndef flashdreams_runners(): return [RunnerSpec('fine', '', 'a:b')]", "fine")
    here.plugin(text, "given")
    registry = here.registry(plugins={"given": "given_plugin", "fine": "fine_plugin"})
    assert [runner.spec.slug for runner in registry.runners()] == ["fine"]
    (fault,) = registry.broken()
    assert fault.blame.startswith(f"plugin given (dist-given 1.0) failed: {WRONG[text]}")
    assert "\n" not in fault.blame
    assert "Traceback" in fault.traceback


def test_a_wrong_hook_leaves_the_other_hooks_of_its_plugin(here):
    registry = here.plugin("@hookimpl\ndef flashdreams_runners(): return 3\n" + GOOD.replace("\n    ", "\n"))
    assert registry.runners() == []
    assert len(registry.components()) == 3
    assert [fault.reason.partition("(")[0] for fault in registry.broken()] == [
        "flashdreams_runners",
        "that is the name of a command of core, which stays",
    ]


def test_a_plugin_that_is_slow_to_import_is_found_out(here, monkeypatch):
    monkeypatch.delitem(sys.modules, "numpy")
    here.module("numpy", "")
    assert here.plugin("import numpy\n@hookimpl\ndef flashdreams_runners(): return []").plugins[0].heavy == (
        "numpy",
    )


def test_core_registers_as_a_plugin_does(here):
    registry = here.registry(plugins={"core": "flashdreams.plugins.builtin"})
    assert registry.broken() == []
    assert registry.check(registry.components()) == []
    schedulers = {c.spec.name for c in registry.components("scheduler")}
    assert schedulers == {"flow-match", "flow-match-euler", "unipc"}


GREEDY = """
    @hookimpl
    def flashdreams_components():
        return [
            ComponentSpec("scheduler", "unipc", "Mine.", "x:A"),
            ComponentSpec("decoder", "unipc", "Mine.", "x:B"),
        ]
"""


def test_a_component_of_core_stays_core_s(here):
    here.plugin(GREEDY, "a")
    here.plugin(GREEDY.replace("x:A", CORE_UNIPC), "b")
    origins = {Origin(f"dist-{name}", "1.0", name): f"{name}_plugin" for name in "ab"}
    core = {Origin("flashdreams-core", "0.1.0", "core"): "flashdreams.plugins.builtin"}
    registry = Registry(Installed(origins | core))
    assert type(registry.component_config("scheduler", "unipc")) is UniPCSchedulerConfig
    assert registry.component_of(UniPCSchedulerConfig()).origin.distribution == "flashdreams-core"
    assert [fault.blame for fault in registry.broken()] == [
        f"component scheduler unipc (dist-{name} 1.0) failed: "
        "that is the name of a component of core, which stays"
        for name in "ab"
    ]
    with pytest.raises(ClashError) as raised:
        registry.component_config("decoder", "unipc")
    assert raised.value.next == "Uninstall all but one of them: pip uninstall dist-a dist-b"
    assert not any("flashdreams-core" in problem for problem in registry.problems())
