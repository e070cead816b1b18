"""What is installed: the entry points of both ways in, read once from the metadata of distributions.

Nothing is imported here. A distribution with damaged metadata is blamed and the others are read.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from importlib import metadata

from flashdreams.errors import FieldValueError
from flashdreams.plugins.api import API_GROUP, misfit
from flashdreams.plugins.blame import FAILURES, BadPluginError, BrokenPlugin, Origin, broken
from flashdreams.plugins.entries import Entry
from flashdreams.plugins.specs import RunnerSpec

RUNNER_GROUP = "flashdreams.runner_configs"
"""The simple way: one entry point per slug."""
PLUGIN_GROUP = "flashdreams.plugins"
"""The full way: one entry point per plugin."""
RUNNER_VARIABLE = "FLASHDREAMS_RUNNER_CONFIGS"
"""The environment variable that registers slugs without an installation."""


@dataclass
class Installed:
    """What is declared, and what could not be read."""

    plugins: dict[Origin, str] = field(default_factory=dict)
    """The module of each plugin of the full way, ``"package.module"``."""
    runners: list[Entry[RunnerSpec]] = field(default_factory=list)
    """The slugs of the simple way."""
    broken: list[BrokenPlugin] = field(default_factory=list)
    """What cannot be read, and what was written for another plugin API."""
    apis: dict[str, str] = field(default_factory=dict)
    """The plugin API that each distribution declares, where it declares one."""


def read_installed(runner_configs: str = "") -> Installed:
    """Read the entry points of every installed distribution, and the environment variable's value."""
    installed = Installed()
    for name in _distributions_with_entry_points(installed):
        try:
            _read_entry_points(metadata.distribution(name), name, installed)
        except FAILURES as error:
            installed.broken.append(broken("entry_points.txt", Origin(name), error))
    _read_pairs(runner_configs, installed)
    return installed


def is_installed(distribution: str) -> bool:
    """Whether a distribution of this name is installed, whatever it is."""
    try:
        metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return False
    return True


def _distributions_with_entry_points(installed: Installed) -> list[str]:
    # Most distributions are none of ours: whether the text names us is read before anything is parsed.
    names: set[str] = set()
    for distribution in metadata.distributions():
        try:
            if "flashdreams." in (distribution.read_text("entry_points.txt") or ""):
                names.add(_name(distribution))
        except FAILURES as error:
            where = Origin(f"a distribution in {distribution.locate_file('')}")
            installed.broken.append(broken("its metadata", where, error))
    return sorted(names)


def _name(distribution: metadata.Distribution) -> str:
    name = distribution.metadata["Name"]
    if not name:
        raise BadPluginError("METADATA gives no name")
    return name


def _read_entry_points(distribution: metadata.Distribution, name: str, installed: Installed) -> None:
    points, origin = distribution.entry_points, Origin(name, distribution.version)
    declared = points.select(group=API_GROUP).names
    plugins, runners = points.select(group=PLUGIN_GROUP), points.select(group=RUNNER_GROUP)
    if len(declared) == 1:
        (installed.apis[name],) = declared
    fault = misfit(origin, declared)
    if fault is not None:
        names = sorted(plugins.names)
        origin = replace(origin, plugin=names[0] if names else "")
        fault = replace(fault, origin=origin, plugins=tuple(names), slugs=tuple(sorted(runners.names)))
        installed.broken.append(fault)
        return
    for point in plugins:
        installed.plugins[replace(origin, plugin=point.name)] = _without_extras(point.value)
    summary = " ".join((distribution.metadata["Summary"] or "").split())
    for point in runners:
        _read_runner(point, summary, origin, installed)


def _read_runner(point: metadata.EntryPoint, summary: str, origin: Origin, installed: Installed) -> None:
    try:
        spec = RunnerSpec(point.name, summary, _without_extras(point.value))
        installed.runners.append(Entry(spec, origin))
    except FieldValueError as error:
        installed.broken.append(broken(f"slug {point.name}", origin, error))


def _without_extras(value: str) -> str:
    return value.partition("[")[0].replace(" ", "")


def _read_pairs(text: str, installed: Installed) -> None:
    origin = Origin(RUNNER_VARIABLE)
    for pair in filter(None, map(str.strip, text.split(","))):
        slug, _, target = (part.strip() for part in pair.partition("="))
        try:
            installed.runners.append(Entry(RunnerSpec(slug, f"From {target}.", target), origin))
        except FieldValueError:
            fault = BadPluginError("it does not read slug=package.module:NAME")
            installed.broken.append(broken(f"pair {pair!r}", origin, fault))
