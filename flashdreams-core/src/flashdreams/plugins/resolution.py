"""Whether what is installed fits together, and would still do so after a change.

Nothing is imported or installed here. Requirements are read as pip reads them (PEP 508).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib import metadata

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion

from flashdreams.plugins.api import CORE

_GROUPS = "flashdreams."


@dataclass(frozen=True)
class Package:
    """An installed distribution, or one that would be."""

    name: str
    """Its name, as it writes it."""
    version: str
    """Its version."""
    requires: tuple[str, ...] = ()
    """Its requirements, a line each."""
    is_plugin: bool = False
    """Whether it registers something with FlashDreams; known of installed ones only."""

    def __str__(self) -> str:
        return f"{self.name} {self.version}"


Packages = Mapping[str, Package]
"""Packages by their names in canonical form."""


@dataclass(frozen=True)
class Unmet:
    """A requirement that is not met."""

    package: Package
    """Who requires it."""
    requirement: str
    """What it requires, without the marker."""
    found: Package | None
    """What there is in its place."""

    def __str__(self) -> str:
        there = f"there would be {self.found.version}" if self.found else "it would not be there"
        return f"{self.package} needs {self.requirement}, and {there}."


def installed_packages() -> dict[str, Package]:
    """What is installed in this environment. Of several with one name, the first on the path counts."""
    packages: dict[str, Package] = {}
    for distribution in metadata.distributions():
        # Distributions without a name or version are damaged: pip does not see them either.
        name, version = distribution.metadata["Name"], distribution.metadata["Version"]
        if name and version:
            registers = any(point.group.startswith(_GROUPS) for point in distribution.entry_points)
            package = Package(name, version, tuple(distribution.requires or ()), registers)
            packages.setdefault(canonicalize_name(name), package)
    return packages


def newly_unmet(before: Packages, after: Packages) -> list[Unmet]:
    """The requirements that a change would break: of plugins, core, what changes, and all that these need.

    What was broken before is not the doing of the change.
    """
    changed = {name for name in after if after[name] != before.get(name)}
    roots = {name for name, package in after.items() if package.is_plugin} | {canonicalize_name(CORE)}
    was = {(unmet.package, unmet.requirement) for unmet in _unmet(before, roots)}
    return [new for new in _unmet(after, roots | changed) if (new.package, new.requirement) not in was]


def needed_by(packages: Packages, name: str) -> list[Package]:
    """The packages that require ``name`` themselves, extras aside."""
    wanted = canonicalize_name(name)
    return [p for p in packages.values() if any(_canonical(r) == wanted for r in _requirements(p, ""))]


def _unmet(packages: Packages, roots: Iterable[str]) -> list[Unmet]:
    found, waiting = {}, [(name, "") for name in sorted(roots)]
    seen = set(waiting)
    while waiting:
        name, extra = waiting.pop(0)
        for requirement in _requirements(packages[name], extra) if name in packages else ():
            there = packages.get(_canonical(requirement))
            if there is None or not _meets(there, requirement):
                unmet = Unmet(packages[name], _without_marker(requirement), there)
                found[unmet.package, unmet.requirement] = unmet
            needed = {(_canonical(requirement), each) for each in ("", *requirement.extras)} - seen
            seen |= needed
            waiting += sorted(needed)
    return list(found.values())


def _requirements(package: Package, extra: str) -> Iterator[Requirement]:
    for line in package.requires:
        try:
            requirement = Requirement(line)
        except InvalidRequirement:
            continue  # of an old package; pip cannot read it either
        if requirement.marker is None:
            if not extra:
                yield requirement
        elif requirement.marker.evaluate({"extra": extra}):
            yield requirement


def _meets(package: Package, requirement: Requirement) -> bool:
    try:
        return requirement.specifier.contains(package.version, prereleases=True)
    except InvalidVersion:
        return False  # as newer releases of packaging say without raising


def _canonical(requirement: Requirement) -> str:
    return canonicalize_name(requirement.name)


def _without_marker(requirement: Requirement) -> str:
    return str(requirement).partition(";")[0].strip()
