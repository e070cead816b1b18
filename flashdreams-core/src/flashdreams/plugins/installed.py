"""What is installed: the entry points of both ways in, read once from the metadata of distributions.

Nothing is imported here. A distribution with damaged metadata is blamed and the others are read.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib import metadata

from flashdreams.plugins.blame import FAILURES, BadPluginError, BrokenPlugin, Origin, broken

RUNNER_GROUP = "flashdreams.runner_configs"
"""The simple way: one entry point per slug."""
PLUGIN_GROUP = "flashdreams.plugins"
"""The full way: one entry point per plugin."""
RUNNER_VARIABLE = "FLASHDREAMS_RUNNER_CONFIGS"
"""The environment variable that registers slugs without an installation."""


@dataclass(frozen=True)
class Declaration:
    """One entry point, or one pair of the environment variable."""

    group: str
    """:data:`RUNNER_GROUP` or :data:`PLUGIN_GROUP`."""
    name: str
    """The slug, or the name of the plugin."""
    target: str
    """``"package.module:NAME"``, or ``"package.module"`` for a plugin."""
    summary: str = ""
    """The summary of the distribution."""
    distribution: str = ""
    version: str = ""

    @property
    def origin(self) -> Origin:
        """Who made it."""
        plugin = self.name if self.group == PLUGIN_GROUP else ""
        return Origin(self.distribution, self.version, plugin)


@dataclass
class Installed:
    """All declarations, and what could not be read."""

    declarations: list[Declaration] = field(default_factory=list)
    broken: list[BrokenPlugin] = field(default_factory=list)


def read_installed(runner_configs: str = "") -> Installed:
    """Read the entry points of every installed distribution, and the environment variable's value."""
    installed = Installed()
    for name in _distributions_with_entry_points(installed):
        try:
            installed.declarations += _declarations(name)
        except FAILURES as error:
            installed.broken.append(broken("entry_points.txt", Origin(name), error))
    _read_pairs(runner_configs, installed)
    return installed


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


def _declarations(name: str) -> Iterator[Declaration]:
    distribution = metadata.distribution(name)  # of several with one name, the one that is imported
    summary = distribution.metadata["Summary"] or ""
    for group in (PLUGIN_GROUP, RUNNER_GROUP):
        for point in distribution.entry_points.select(group=group):
            target = point.value.partition("[")[0].replace(" ", "")
            yield Declaration(group, point.name, target, summary, name, distribution.version)


def _read_pairs(text: str, installed: Installed) -> None:
    for pair in filter(None, map(str.strip, text.split(","))):
        slug, _, target = (part.strip() for part in pair.partition("="))
        if slug and ":" in target:
            declared = Declaration(RUNNER_GROUP, slug, target, f"From {target}.", RUNNER_VARIABLE)
            installed.declarations.append(declared)
        else:
            fault = BadPluginError("it does not read slug=package.module:NAME")
            installed.broken.append(broken(f"pair {pair!r}", Origin(RUNNER_VARIABLE), fault))
