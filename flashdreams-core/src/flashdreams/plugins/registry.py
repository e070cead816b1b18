"""The registry: everything that plugins add, found without loading it and loaded when it is asked for."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable
from functools import cache, cached_property
from typing import TYPE_CHECKING, TypeVar

from flashdreams import environment
from flashdreams.errors import ClashError, PluginError, SlugClashError
from flashdreams.infra.config import InstantiateConfig
from flashdreams.infra.runner.config import RunnerConfig
from flashdreams.plugins import refusals
from flashdreams.plugins.blame import FAILURES, BadPluginError, BrokenPlugin, broken
from flashdreams.plugins.entries import Clash, CommandEntry, ComponentEntry, E, Entry, RunnerEntry, settle
from flashdreams.plugins.installed import PLUGIN_GROUP, RUNNER_GROUP, Installed, read_installed
from flashdreams.plugins.loading import LoadedPlugin, load_plugins
from flashdreams.plugins.targets import load_config, load_target

if TYPE_CHECKING:
    from flashdreams.infra.pipeline.observers import Observers

C = TypeVar("C", bound=InstantiateConfig)

CORE_COMMANDS = ("list", "run", "show", "components", "plugins", "doctor")
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
        return load_plugins(d for d in self._installed.declarations if d.group == PLUGIN_GROUP)

    def runners(self) -> list[RunnerEntry]:
        """Every slug that exactly one plugin claims, in order. None is loaded."""
        return self._runners[0]

    def components(self, kind: str | None = None) -> list[ComponentEntry]:
        """Every component, or those of one kind, in order. None is loaded.

        Raises:
            UnknownComponentError: There is no such kind.
        """
        entries = self._components[0]
        if kind is None:
            return entries
        kinds = {entry.kind for entry in entries}
        if kind not in kinds:
            raise refusals.unknown_kind(kind, kinds)
        return [entry for entry in entries if entry.kind == kind]

    def commands(self) -> list[CommandEntry]:
        """Every command that plugins add, in order. None is loaded."""
        return self._commands[0]

    def clashes(self) -> list[Clash]:
        """Names that several plugins claim, so that none has them."""
        return [*self._runners[1], *self._components[1], *self._commands[1]]

    def broken(self) -> list[BrokenPlugin]:
        """Whatever failed before any slug or component was loaded. :meth:`check` loads them."""
        failed = [fault for plugin in self.plugins for fault in plugin.broken]
        return [*self._installed.broken, *failed, *self._shadowing]

    def check(self, entries: Iterable[RunnerEntry | ComponentEntry]) -> list[BrokenPlugin]:
        """Load each of ``entries`` and name those that fail."""
        faults = []
        for entry in entries:
            try:
                _load(entry, RunnerConfig if isinstance(entry, RunnerEntry) else InstantiateConfig)
            except FAILURES as error:
                faults.append(broken(entry.label, entry.origin, error))
        return faults

    def runner_config(self, slug: str) -> RunnerConfig:
        """The config of a slug: a deep copy that is the caller's to change.

        Raises:
            UnknownSlugError: Nothing installed registers it.
            SlugClashError: Several plugins claim it.
            BrokenPluginError: It cannot be loaded, or is no runner of that name.
        """
        entry = _find(slug, *self._runners, SlugClashError)
        if entry is None:
            raise refusals.unknown_slug(slug, [e.slug for e in self.runners()], self.broken())
        return _copy(entry, RunnerConfig)

    def component_config(self, kind: str, name: str) -> InstantiateConfig:
        """The config of a component: a deep copy that is the caller's to change.

        Raises:
            UnknownComponentError: Nothing installed registers it.
            ClashError: Several plugins claim it.
            BrokenPluginError: It cannot be loaded, or is no config.
        """
        entry = _find((kind, name), *self._components, ClashError)
        if entry is None:
            raise refusals.unknown_component(kind, name, [e.name for e in self.components(kind)])
        return _copy(entry, InstantiateConfig)

    def component_of(self, config: InstantiateConfig) -> ComponentEntry | None:
        """The component whose target is the class of ``config``, where there is one."""
        target = f"{type(config).__module__}:{type(config).__qualname__}"
        return next((entry for entry in self.components() if entry.target == target), None)

    def command(self, name: str) -> Callable[[list[str]], int]:
        """The ``main(argv) -> int`` of a command that a plugin adds.

        Raises:
            UnknownCommandError: Nothing installed adds it.
            ClashError: Several plugins claim it.
            BrokenPluginError: It cannot be loaded.
        """
        entry = _find(name, *self._commands, ClashError)
        if entry is None:
            raise refusals.unknown_command(name, [*CORE_COMMANDS, *(e.name for e in self.commands())])
        return _load_command(entry)

    def observers(self) -> Observers:
        """Who is told about rollouts: the run-time hooks of all plugins. Imports torch."""
        return self._observers

    @cached_property
    def _observers(self) -> Observers:
        from flashdreams.plugins.observers import PluginObservers

        return PluginObservers(self.plugins)

    @cached_property
    def _runners(self) -> tuple[list[RunnerEntry], list[Clash]]:
        declared = [
            RunnerEntry(slug=d.name, summary=d.summary, target=d.target, origin=d.origin)
            for d in self._installed.declarations
            if d.group == RUNNER_GROUP
        ]
        return settle([*(entry for plugin in self.plugins for entry in plugin.runners), *declared])

    @cached_property
    def _components(self) -> tuple[list[ComponentEntry], list[Clash]]:
        return settle(entry for plugin in self.plugins for entry in plugin.components)

    @cached_property
    def _commands(self) -> tuple[list[CommandEntry], list[Clash]]:
        entries = (entry for plugin in self.plugins for entry in plugin.commands)
        return settle(entry for entry in entries if entry.name not in CORE_COMMANDS)

    @cached_property
    def _shadowing(self) -> list[BrokenPlugin]:
        entries = [entry for plugin in self.plugins for entry in plugin.commands]
        fault = BadPluginError("that is the name of a command of core, which stays")
        return [broken(e.label, e.origin, fault) for e in entries if e.name in CORE_COMMANDS]


@cache
def get_registry() -> Registry:
    """The registry of this process."""
    return Registry()


def _find(key: object, entries: Iterable[E], clashes: Iterable[Clash], error: type[PluginError]) -> E | None:
    for clash in clashes:
        if clash.key == key:
            raise refusals.claimed(clash, error)
    return next((entry for entry in entries if entry.key == key), None)


def _load(entry: Entry, kind: type[C]) -> C:
    config = load_config(entry.target, kind)
    if (
        isinstance(entry, RunnerEntry)
        and isinstance(config, RunnerConfig)
        and config.runner_name != entry.slug
    ):
        raise BadPluginError(f"the runner_name of {entry.target} is {config.runner_name!r}, not the slug")
    return config


def _copy(entry: Entry, kind: type[C]) -> C:
    try:
        return copy.deepcopy(_load(entry, kind))
    except FAILURES as error:
        runner = kind is RunnerConfig
        right = f"It names {'a RunnerConfig' if runner else 'a config, its class'}, or {_FUNCTION}."
        raise refusals.broken_target(broken(entry.label, entry.origin, error), right) from error


def _load_command(entry: CommandEntry) -> Callable[[list[str]], int]:
    try:
        main: Callable[[list[str]], int] = load_target(entry.target)
        if not callable(main):
            raise BadPluginError(f"{entry.target} is no function")
    except FAILURES as error:
        right = "It names a function main(argv: list[str]) -> int."
        raise refusals.broken_target(broken(entry.label, entry.origin, error), right) from error
    return main
