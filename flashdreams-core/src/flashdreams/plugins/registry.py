"""The registry: everything that plugins add, found without loading it and loaded when it is asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import cache, cached_property
from typing import TYPE_CHECKING, Any, TypeVar

from flashdreams import environment
from flashdreams.errors import ClashError, PluginError, SlugClashError
from flashdreams.infra.config import InstantiateConfig
from flashdreams.infra.runner.config import RunnerConfig
from flashdreams.plugins import refusals
from flashdreams.plugins.api import CORE
from flashdreams.plugins.blame import FAILURES, BadPluginError, BrokenPlugin, Origin, broken
from flashdreams.plugins.entries import Clash, Entry, Names, S
from flashdreams.plugins.installed import RUNNER_VARIABLE, Installed, read_installed
from flashdreams.plugins.loading import LoadedPlugin, load_plugins
from flashdreams.plugins.specs import CommandSpec, ComponentSpec, RunnerSpec
from flashdreams.plugins.targets import load_command, load_component, load_runner

if TYPE_CHECKING:
    from flashdreams.infra.pipeline.observers import Observers

T = TypeVar("T")

CORE_COMMANDS = (
    *("list", "run", "show", "plan", "download", "warm", "bench", "cache"),
    *("components", "plugins", "new-plugin", "doctor"),
)
"""Names that no plugin's command can take."""
_FUNCTION = "a function without arguments that returns one"


class Registry:
    """What is installed, by name.

    Args:
        installed: What there is to load; by default whatever is installed in this environment.
    """

    def __init__(self, installed: Installed | None = None) -> None:
        self._installed = installed or read_installed(environment.runner_configs())

    @cached_property
    def plugins(self) -> list[LoadedPlugin]:
        """The plugins of the full way, loaded one at a time."""
        return load_plugins(self._installed.plugins)

    def api(self, origin: Origin) -> str | None:
        """The plugin API that the distribution of ``origin`` declares; None where it declares none."""
        return self._installed.apis.get(origin.distribution)

    def runners(self) -> list[Entry[RunnerSpec]]:
        """Every slug that exactly one plugin claims, in order. None is loaded."""
        return list(self._runners)

    def components(self, kind: str | None = None) -> list[Entry[ComponentSpec]]:
        """Every component, or those of one kind, in order. None is loaded.

        Raises:
            UnknownComponentError: There is no such kind.
        """
        if kind is None:
            return list(self._components)
        kinds = {entry.spec.kind for entry in self._components}
        if kind not in kinds:
            raise refusals.unknown_kind(kind, kinds)
        return [entry for entry in self._components if entry.spec.kind == kind]

    def commands(self) -> list[Entry[CommandSpec]]:
        """Every command that plugins add, in order. None is loaded."""
        return list(self._commands)

    def clashes(self) -> list[Clash]:
        """Names that several plugins claim, so that none has them."""
        return [*self._runners.clashes, *self._components.clashes, *self._commands.clashes]

    def broken(self) -> list[BrokenPlugin]:
        """Whatever failed before any slug or component was loaded. :meth:`check` loads them."""
        failed = [fault for plugin in self.plugins for fault in plugin.broken]
        return [*self._installed.broken, *failed, *self._shadowing]

    def problems(self) -> list[str]:
        """A line for each of :meth:`broken` and :meth:`clashes`: who is to blame for what."""
        return [fault.blame for fault in self.broken()] + [clash.blame for clash in self.clashes()]

    def check(self, entries: Iterable[Entry[RunnerSpec] | Entry[ComponentSpec]]) -> list[BrokenPlugin]:
        """Load each of ``entries`` and name those that fail."""
        faults = []
        for entry in entries:
            try:
                if isinstance(entry.spec, RunnerSpec):
                    load_runner(entry.spec)
                else:
                    load_component(entry.spec)
            except FAILURES as error:
                faults.append(_blamed(entry, error))
        return faults

    def runner_config(self, slug: str) -> RunnerConfig:
        """The config of a slug: a deep copy that is the caller's to change.

        Raises:
            UnknownSlugError: Nothing installed registers it.
            SlugClashError: Several plugins claim it.
            PluginVersionError: Its distribution was written for another plugin API than core offers.
            BrokenPluginError: It cannot be loaded, or is no runner of that name.
        """
        _refuse_clash(self._runners.clash(slug), SlugClashError)
        entry = self._runners.find(slug)
        if entry is None:
            raise refusals.unknown_slug(slug, [e.spec.slug for e in self._runners], self.broken())
        return _loaded(entry, load_runner, f"It names a RunnerConfig, or {_FUNCTION}.")

    def component_config(self, kind: str, name: str) -> InstantiateConfig:
        """The config of a component: a deep copy that is the caller's to change.

        Raises:
            UnknownComponentError: Nothing installed registers it.
            ClashError: Several plugins claim it.
            BrokenPluginError: It cannot be loaded, or is no config.
        """
        _refuse_clash(self._components.clash(kind, name), ClashError)
        entry = self._components.find(kind, name)
        if entry is None:
            raise refusals.unknown_component(kind, name, [e.spec.name for e in self.components(kind)])
        return _loaded(entry, load_component, f"It names a config, its class, or {_FUNCTION}.")

    def component_of(self, config: InstantiateConfig) -> Entry[ComponentSpec] | None:
        """The component whose target is the class of ``config``, where there is one."""
        target = f"{type(config).__module__}:{type(config).__qualname__}"
        return next((entry for entry in self._components if entry.spec.target == target), None)

    def command(self, name: str) -> Callable[[list[str]], int]:
        """The ``main(argv) -> int`` of a command that a plugin adds.

        Raises:
            UnknownCommandError: Nothing installed adds it.
            ClashError: Several plugins claim it.
            BrokenPluginError: It cannot be loaded.
        """
        _refuse_clash(self._commands.clash(name), ClashError)
        entry = self._commands.find(name)
        if entry is None:
            raise refusals.unknown_command(name, [*CORE_COMMANDS, *(e.spec.name for e in self._commands)])
        return _loaded(entry, load_command, "It names a function main(argv: list[str]) -> int.")

    def observers(self) -> Observers:
        """Who is told about rollouts: the run-time hooks of all plugins. Imports torch."""
        return self._observers

    @cached_property
    def _observers(self) -> Observers:
        from flashdreams.plugins.observers import PluginObservers

        return PluginObservers(self.plugins)

    @cached_property
    def _runners(self) -> Names[RunnerSpec]:
        added = [entry for plugin in self.plugins for entry in plugin.runners]
        return Names([*added, *self._installed.runners])

    @cached_property
    def _components(self) -> Names[ComponentSpec]:
        added = (entry for plugin in self.plugins for entry in plugin.components)
        return Names(entry for entry in added if not self._shadows(entry))

    @cached_property
    def _commands(self) -> Names[CommandSpec]:
        added = (entry for plugin in self.plugins for entry in plugin.commands)
        return Names(entry for entry in added if not self._shadows(entry))

    @cached_property
    def _shadowing(self) -> list[BrokenPlugin]:
        faults = []
        for plugin in self.plugins:
            added: tuple[Entry[ComponentSpec] | Entry[CommandSpec], ...] = (
                *plugin.components,
                *plugin.commands,
            )
            for entry in filter(self._shadows, added):
                fault = BadPluginError(f"that is the name of a {entry.spec.noun} of core, which stays")
                faults.append(broken(entry.spec.label, entry.origin, fault))
        return faults

    @cached_property
    def _core_components(self) -> set[tuple[str, ...]]:
        core = (plugin for plugin in self.plugins if plugin.origin.distribution == CORE)
        return {entry.spec.key for plugin in core for entry in plugin.components}

    def _shadows(self, entry: Entry[ComponentSpec] | Entry[CommandSpec]) -> bool:
        """Whether a plugin claims the name of something of core's own."""
        if isinstance(entry.spec, CommandSpec):
            return entry.spec.name in CORE_COMMANDS
        return entry.origin.distribution != CORE and entry.spec.key in self._core_components


@cache
def installed_registry() -> Registry:
    """The registry of this process, of all that is installed."""
    return Registry()


def _refuse_clash(clash: Clash | None, error: type[PluginError]) -> None:
    if clash is not None:
        raise refusals.claimed(clash, error)


def _loaded(entry: Entry[S], load: Callable[[S], T], right: str) -> T:
    try:
        return load(entry.spec)
    except FAILURES as error:
        raise refusals.broken_target(_blamed(entry, error), right) from error


def _blamed(entry: Entry[Any], error: BaseException) -> BrokenPlugin:
    fault = broken(entry.spec.label, entry.origin, error)
    module = entry.spec.target.partition(":")[0]
    absent = isinstance(error, ModuleNotFoundError) and f"{module}.".startswith(f"{error.name}.")
    if absent and entry.origin.distribution == RUNNER_VARIABLE:
        return replace(fault, reason=f"{fault.reason} (is its folder on PYTHONPATH?)")
    return fault
