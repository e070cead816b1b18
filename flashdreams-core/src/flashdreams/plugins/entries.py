"""What is registered, by whom; and what becomes of a name that two plugins claim."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from typing import TypeVar

from flashdreams.plugins.blame import Origin


@dataclass(frozen=True, kw_only=True)
class Entry:
    """Something registered by name. Nothing of it is loaded."""

    summary: str
    """What it is, in one line."""
    target: str
    """``"package.module:NAME"``."""
    origin: Origin
    """Who registered it."""
    needs: tuple[str, ...] = ()
    """What the machine must have."""

    @property
    def distribution(self) -> str:
        """Name of the distribution that registered it."""
        return self.origin.distribution

    @property
    def version(self) -> str:
        """Version of that distribution."""
        return self.origin.version

    @property
    def key(self) -> Hashable:
        """What must be unique."""
        raise NotImplementedError

    @property
    def label(self) -> str:
        """How it is called in a message."""
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class RunnerEntry(Entry):
    """A slug."""

    slug: str

    @property
    def key(self) -> str:
        """The slug."""
        return self.slug

    @property
    def label(self) -> str:
        """``slug NAME``."""
        return f"slug {self.slug}"


@dataclass(frozen=True, kw_only=True)
class ComponentEntry(Entry):
    """A component."""

    kind: str
    name: str

    @property
    def key(self) -> tuple[str, str]:
        """Kind and name."""
        return self.kind, self.name

    @property
    def label(self) -> str:
        """``component KIND NAME``."""
        return f"component {self.kind} {self.name}"


@dataclass(frozen=True, kw_only=True)
class CommandEntry(Entry):
    """A command of the command line."""

    name: str

    @property
    def key(self) -> str:
        """The name."""
        return self.name

    @property
    def label(self) -> str:
        """``command NAME``."""
        return f"command {self.name}"


@dataclass(frozen=True)
class Clash:
    """One name that several claim, so that none has it."""

    label: str
    """What is claimed, such as ``slug my-slug``."""
    key: Hashable
    claimants: tuple[Origin, ...]
    """Who claims it."""

    @property
    def blame(self) -> str:
        """Who claims what, in one line."""
        claims = [f"plugin {c.plugin} ({c})" if c.plugin else str(c) for c in self.claimants]
        return f"{self.label} is claimed by {' and by '.join(claims)}: none of them has it"


E = TypeVar("E", bound=Entry)


def settle(entries: Iterable[E]) -> tuple[list[E], list[Clash]]:
    """The entries whose name nobody else claims, in the order of their names, and the clashes.

    The same target, registered twice by one distribution, is no clash: the first of the two stays.
    """
    claims: dict[Hashable, list[E]] = {}
    for entry in entries:
        rivals = claims.setdefault(entry.key, [])
        if (entry.distribution, entry.target) not in [(r.distribution, r.target) for r in rivals]:
            rivals.append(entry)
    settled = [rivals[0] for rivals in claims.values() if len(rivals) == 1]
    clashes = [
        Clash(rivals[0].label, key, tuple(rival.origin for rival in rivals))
        for key, rivals in claims.items()
        if len(rivals) > 1
    ]
    return sorted(settled, key=lambda entry: entry.label), sorted(clashes, key=lambda clash: clash.label)
