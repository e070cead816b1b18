"""Loading plugins one at a time, each in its own try: a broken one is blamed and stops nobody."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, TypeVar

import pluggy

from flashdreams.plugins import hookspecs
from flashdreams.plugins.blame import FAILURES, BadPluginError, BrokenPlugin, Origin, broken
from flashdreams.plugins.entries import CommandEntry, ComponentEntry, RunnerEntry
from flashdreams.plugins.installed import Declaration
from flashdreams.plugins.specs import CommandSpec, ComponentSpec, RunnerSpec
from flashdreams.plugins.targets import load_target

S = TypeVar("S", RunnerSpec, ComponentSpec, CommandSpec)

_HEAVY = ("torch", "numpy")


@dataclass(eq=False)
class LoadedPlugin:
    """A plugin of the full way, as far as it could be loaded."""

    origin: Origin
    manager: pluggy.PluginManager = field(repr=False)
    """Calls this plugin's hooks and nobody else's."""
    runners: list[RunnerEntry] = field(default_factory=list)
    components: list[ComponentEntry] = field(default_factory=list)
    commands: list[CommandEntry] = field(default_factory=list)
    broken: list[BrokenPlugin] = field(default_factory=list)
    heavy: tuple[str, ...] = ()
    """Heavy modules that it imports before it is asked for anything: each command waits for them."""


def load_plugins(declarations: Iterable[Declaration]) -> list[LoadedPlugin]:
    """Load every plugin, one after the other."""
    return [load_plugin(declaration) for declaration in declarations]


def load_plugin(declaration: Declaration) -> LoadedPlugin:
    """Import a plugin and collect what it registers. Never raises what the plugin raises."""
    manager = pluggy.PluginManager("flashdreams")
    manager.add_hookspecs(hookspecs)
    plugin = LoadedPlugin(declaration.origin, manager)
    light = set(sys.modules)
    try:
        _register(manager, declaration)
        _collect(plugin)
    except FAILURES as error:
        plugin.broken.append(_blame(plugin, error))
    plugin.heavy = tuple(name for name in _HEAVY if name in sys.modules and name not in light)
    return plugin


def _register(manager: pluggy.PluginManager, declaration: Declaration) -> None:
    module = load_target(declaration.target)
    manager.register(module, declaration.name)
    manager.check_pending()
    if not manager.get_hookcallers(module):
        raise BadPluginError(f"{declaration.target} implements no hook: mark its functions with @hookimpl")


def _collect(plugin: LoadedPlugin) -> None:
    origin = plugin.origin
    for runner in _specs(plugin, "flashdreams_runners", RunnerSpec):
        plugin.runners.append(RunnerEntry(**vars(runner), origin=origin))
    for component in _specs(plugin, "flashdreams_components", ComponentSpec):
        plugin.components.append(ComponentEntry(**vars(component), origin=origin))
    for command in _specs(plugin, "flashdreams_commands", CommandSpec):
        plugin.commands.append(CommandEntry(**vars(command), origin=origin))


def _specs(plugin: LoadedPlugin, hook: str, kind: type[S]) -> list[S]:
    """What one hook of one plugin returns; nothing, and the blame noted, where that is no list of specs."""
    try:
        caller = getattr(plugin.manager.hook, hook)
        if not caller.get_hookimpls():
            return []
        returned = caller()  # pluggy leaves out an implementation that returns None
        return _checked(returned[0] if returned else None, hook, kind)
    except FAILURES as error:
        plugin.broken.append(_blame(plugin, error))
        return []


def _checked(specs: Any, hook: str, kind: type[S]) -> list[S]:
    if not isinstance(specs, list):
        raise BadPluginError(f"{hook}() returned {_short(specs)}, not a list of {kind.__name__}")
    for spec in specs:
        if not isinstance(spec, kind):
            raise BadPluginError(f"{hook}() returned a list with {_short(spec)}, which is no {kind.__name__}")
    return specs


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:60]}…"


def _blame(plugin: LoadedPlugin, error: BaseException) -> BrokenPlugin:
    return broken(f"plugin {plugin.origin.plugin}", plugin.origin, error)
