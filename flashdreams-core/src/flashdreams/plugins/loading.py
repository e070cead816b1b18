"""Loading plugins one at a time, each in its own try: a broken one is blamed and stops nobody."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

import pluggy

from flashdreams.deprecation import Deprecation, FlashDreamsDeprecationWarning, noticing
from flashdreams.plugins import hookspecs
from flashdreams.plugins.blame import FAILURES, BadPluginError, BrokenPlugin, Origin, broken
from flashdreams.plugins.entries import Entry
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
    runners: list[Entry[RunnerSpec]] = field(default_factory=list)
    components: list[Entry[ComponentSpec]] = field(default_factory=list)
    commands: list[Entry[CommandSpec]] = field(default_factory=list)
    broken: list[BrokenPlugin] = field(default_factory=list)
    heavy: tuple[str, ...] = ()
    """Heavy modules that it imports before it is asked for anything: each command waits for them."""
    hooks: tuple[str, ...] = ()
    """The hooks that it implements."""
    deprecations: tuple[Deprecation, ...] = ()
    """The deprecated things that it has used so far."""
    startup_ms: float = 0.0
    """Milliseconds that every command waits for it: its module, and what it registers."""


def load_plugins(modules: Mapping[Origin, str]) -> list[LoadedPlugin]:
    """Load every plugin, one after the other, from the module of each."""
    return [load_plugin(origin, module) for origin, module in modules.items()]


def load_plugin(origin: Origin, module: str) -> LoadedPlugin:
    """Import a plugin and collect what it registers. Never raises what the plugin raises."""
    manager = pluggy.PluginManager("flashdreams")
    manager.add_hookspecs(hookspecs)
    plugin = LoadedPlugin(origin, manager)
    light, began = set(sys.modules), time.perf_counter()
    with noticing() as noticed:
        _load(plugin, module)
    plugin.startup_ms = 1000 * (time.perf_counter() - began)
    plugin.deprecations = (*plugin.deprecations, *noticed)
    plugin.heavy = tuple(name for name in _HEAVY if name in sys.modules and name not in light)
    return plugin


def _load(plugin: LoadedPlugin, module: str) -> None:
    try:
        _register(plugin, module)
        plugin.runners = _entries(plugin, "flashdreams_runners", RunnerSpec)
        plugin.components = _entries(plugin, "flashdreams_components", ComponentSpec)
        plugin.commands = _entries(plugin, "flashdreams_commands", CommandSpec)
    except FAILURES as error:
        plugin.broken.append(_blame(plugin, error))


def _register(plugin: LoadedPlugin, module: str) -> None:
    hooks = load_target(module)
    plugin.manager.register(hooks, plugin.origin.plugin)
    plugin.manager.check_pending()
    callers = plugin.manager.get_hookcallers(hooks)
    if not callers:
        raise BadPluginError(f"{module} implements no hook: mark its functions with @hookimpl")
    plugin.hooks = tuple(sorted(caller.name for caller in callers))
    plugin.deprecations = tuple(dict.fromkeys(each for caller in callers for each in _deprecated(caller)))


def _deprecated(caller: pluggy.HookCaller) -> Iterator[Deprecation]:
    """What of a hook is deprecated that an implementation uses: the hook, or arguments of it."""
    if caller.spec is None:
        return
    of_arguments = caller.spec.warn_on_impl_args or {}
    taken = [of_arguments.get(name) for impl in caller.get_hookimpls() for name in impl.argnames]
    for warning in (caller.spec.warn_on_impl, *taken):
        if isinstance(warning, FlashDreamsDeprecationWarning):
            yield warning.deprecation


def _entries(plugin: LoadedPlugin, hook: str, kind: type[S]) -> list[Entry[S]]:
    """What one hook of one plugin returns; nothing, and the blame noted, where that is no list of specs."""
    try:
        caller = getattr(plugin.manager.hook, hook)
        if not caller.get_hookimpls():
            return []
        returned = caller()  # pluggy leaves out an implementation that returns None
        specs = _checked(returned[0] if returned else None, hook, kind)
        return [Entry(spec, plugin.origin) for spec in specs]
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
