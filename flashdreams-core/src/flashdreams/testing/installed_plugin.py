"""A plugin as it is installed: its metadata and files, and what of the registry is its own. No torch."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from flashdreams.errors import PluginError, did_you_mean
from flashdreams.infra.config import InstantiateConfig
from flashdreams.infra.config.fields import config_fields, is_config
from flashdreams.infra.runner.config import RunnerConfig
from flashdreams.plugins.api import API_GROUP
from flashdreams.plugins.blame import FAILURES, Origin
from flashdreams.plugins.entries import Entry
from flashdreams.plugins.installed import PLUGIN_GROUP, RUNNER_GROUP
from flashdreams.plugins.registry import Registry, installed_registry
from flashdreams.plugins.specs import CommandSpec, ComponentSpec, RunnerSpec
from flashdreams.plugins.targets import load_component

Added = Entry[RunnerSpec] | Entry[ComponentSpec] | Entry[CommandSpec]
"""Something that a plugin registers."""

_LICENCE = re.compile(r"\.dist-info/(licenses/.|(.*/)?[^/]*(LICEN[CS]E|COPYING))", re.IGNORECASE)
_GROUPS = (API_GROUP, PLUGIN_GROUP, RUNNER_GROUP)


def canonical(name: str) -> str:
    """The name of a distribution in the one form in which names are compared (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def plugin_distributions() -> list[str]:
    """Names of the installed distributions that add something to FlashDreams."""
    found = {
        distribution.name
        for distribution in metadata.distributions()
        if any(point.group in _GROUPS for point in distribution.entry_points)
    }
    return sorted(found)


def find_plugin(name: str) -> InstalledPlugin:
    """The plugin of this name: of its distribution, or of its entry point.

    Raises:
        PluginError: None is installed.
    """
    installed = {canonical(each): each for each in plugin_distributions()}
    if canonical(name) in installed:
        return InstalledPlugin(metadata.distribution(installed[canonical(name)]))
    for each in installed.values():
        if name in metadata.distribution(each).entry_points.select(group=PLUGIN_GROUP).names:
            return InstalledPlugin(metadata.distribution(each))
    raise PluginError(
        f"There is no plugin {name!r}.",
        did_you_mean(name, installed.values()),
        "See what is installed with: flashdreams plugins",
    )


@dataclass(frozen=True)
class InstalledPlugin:
    """One installed distribution that adds to FlashDreams."""

    metadata: metadata.Distribution

    @property
    def name(self) -> str:
        """As its metadata writes it."""
        return self.metadata.name

    @property
    def origin(self) -> Origin:
        """Whose everything is that it registers."""
        return Origin(self.name, self.metadata.version)

    @property
    def declared_apis(self) -> set[str]:
        """The plugin API versions that it declares."""
        return self.metadata.entry_points.select(group=API_GROUP).names

    @property
    def registry(self) -> Registry:
        """Everything that is installed."""
        return installed_registry()

    @cached_property
    def runners(self) -> list[Entry[RunnerSpec]]:
        """Its slugs."""
        return [entry for entry in self.registry.runners() if self.owns(entry)]

    @cached_property
    def components(self) -> list[Entry[ComponentSpec]]:
        """Its components."""
        return [entry for entry in self.registry.components() if self.owns(entry)]

    @cached_property
    def commands(self) -> list[Entry[CommandSpec]]:
        """Its commands."""
        return [entry for entry in self.registry.commands() if self.owns(entry)]

    @property
    def added(self) -> list[Added]:
        """All that it registers by name."""
        return [*self.runners, *self.components, *self.commands]

    @property
    def hooks(self) -> set[str]:
        """The hooks that it implements."""
        return {hook for plugin in self.registry.plugins if self.owns(plugin) for hook in plugin.hooks}

    def owns(self, registered: Any) -> bool:
        """Whether something with an ``origin`` is its own."""
        return bool(registered.origin.distribution == self.name)

    @property
    def failures(self) -> list[str]:
        """Whatever of it failed before a slug or a component was loaded, a line each."""
        return [fault.blame for fault in self.registry.broken() if self.owns(fault)]

    @property
    def claimed(self) -> list[str]:
        """Names of its own that somebody else claims too, so that nobody has them, a line each."""
        clashes = self.registry.clashes()
        return [c.blame for c in clashes if self.name in {o.distribution for o in c.claimants}]

    def configs(self) -> Iterator[tuple[Entry[RunnerSpec] | Entry[ComponentSpec], InstantiateConfig]]:
        """Each slug and component that can be loaded, with its config."""
        entries: list[Entry[RunnerSpec] | Entry[ComponentSpec]] = [*self.runners, *self.components]
        for entry in entries:
            try:
                yield entry, load_config(entry)
            except FAILURES:
                continue  # what cannot be loaded is a failure of its own

    @property
    def packages(self) -> set[str]:
        """Top-level modules that its entry points name."""
        points = [point for group in _GROUPS for point in self.metadata.entry_points.select(group=group)]
        return {re.split(r"[.:\s]", point.value)[0] for point in points}

    @property
    def files(self) -> list[str]:
        """Paths of what is installed of it, relative to the folder of all packages; nothing if unknown."""
        return [file.as_posix() for file in self.metadata.files or ()]

    @property
    def is_editable(self) -> bool:
        """Whether its sources are used where they lie."""
        return '"editable":true' in (self.metadata.read_text("direct_url.json") or "").replace(" ", "")

    def untyped_packages(self) -> list[str]:
        """Its packages without the marker ``py.typed``."""
        return sorted(package for package in self.packages if not _is_typed(package))

    def licences(self) -> list[str]:
        """Paths of the licence files beside its metadata."""
        return [file for file in self.files if _LICENCE.search(file)]

    def requirements(self) -> set[str]:
        """Names of the distributions that are installed with it, its own included."""
        known: set[str] = set()
        waiting = [self.name]
        while waiting:
            name = canonical(waiting.pop())
            if name not in known:
                known.add(name)
                waiting += _required(name)
        return known


def load_config(entry: Added) -> InstantiateConfig:
    """The config that a slug or component names, whatever its ``runner_name``.

    Raises:
        BadPluginError: It is no config.
        Exception: Whatever importing it raises.
    """
    spec = entry.spec
    return load_component(ComponentSpec(spec.noun, spec.key[-1], spec.summary, spec.target))


def nested_configs(config: Any, where: str = "") -> Iterator[tuple[str, Any]]:
    """A config and all in it, each with its dotted path; of a runner, its pipeline as it is built."""
    yield where, config
    for info in config_fields(config):
        value = getattr(config, info.name)
        if isinstance(config, RunnerConfig) and info.name == "pipeline":
            value = config.effective_pipeline
        if is_config(value):
            yield from nested_configs(value, f"{where}.{info.name}".lstrip("."))


def owners_of(module: str) -> set[str]:
    """The distributions that install a top-level module, several where it is a namespace; none if unknown."""
    return set(map(canonical, _owners().get(module, [])))


@cache
def _owners() -> Mapping[str, list[str]]:
    return metadata.packages_distributions()


def _required(name: str) -> list[str]:
    try:
        lines = metadata.distribution(name).requires or []
    except metadata.PackageNotFoundError:
        return []
    return [re.split(r"[\s\[<>=!~;(@]", line, maxsplit=1)[0] for line in lines if "extra ==" not in line]


def _is_typed(package: str) -> bool:
    try:
        spec = find_spec(package)
    except (ImportError, ValueError):
        return False
    folders = (spec.submodule_search_locations if spec else None) or ()
    return any((Path(folder) / "py.typed").is_file() for folder in folders)
