"""What is registered, by whom; and what becomes of a name that two plugins claim."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from flashdreams.plugins.blame import Origin
from flashdreams.plugins.specs import Spec

S = TypeVar("S", bound=Spec)


@dataclass(frozen=True)
class Entry(Generic[S]):
    """Something registered by name. Nothing of it is loaded."""

    spec: S
    """What was declared."""
    origin: Origin
    """Who declared it."""

    def described(self) -> dict[str, Any]:
        """All of it as plain values."""
        origin = self.origin
        described = {"distribution": origin.distribution, "version": origin.version}
        return {**vars(self.spec), **described, "plugin": origin.plugin or None}


@dataclass(frozen=True)
class Clash:
    """One name that several claim, so that none has it."""

    spec: Spec
    """What is claimed, in the words of the first who does."""
    claimants: tuple[Origin, ...]
    """Who claims it."""

    @property
    def blame(self) -> str:
        """Who claims what, in one line."""
        claims = [f"plugin {c.plugin} ({c})" if c.plugin else str(c) for c in self.claimants]
        return f"{self.spec.label} is claimed by {' and by '.join(claims)}: none of them has it"


class Names(Generic[S]):
    """Entries of one kind by their names; a name that several claim belongs to nobody.

    The same target, registered twice by one distribution, is no clash: the first of the two stays.
    """

    def __init__(self, entries: Iterable[Entry[S]]) -> None:
        claims: dict[tuple[str, ...], list[Entry[S]]] = {}
        for entry in entries:
            rivals = claims.setdefault(entry.spec.key, [])
            if _source(entry) not in map(_source, rivals):
                rivals.append(entry)
        self._claims = {key: claims[key] for key in sorted(claims)}

    def __iter__(self) -> Iterator[Entry[S]]:
        return (rivals[0] for rivals in self._claims.values() if len(rivals) == 1)

    @property
    def clashes(self) -> list[Clash]:
        """The names that several claim."""
        return [clash for key in self._claims if (clash := self.clash(*key)) is not None]

    def find(self, *key: str) -> Entry[S] | None:
        """The entry of this name, where one alone claims it."""
        rivals = self._claims.get(key, [])
        return rivals[0] if len(rivals) == 1 else None

    def clash(self, *key: str) -> Clash | None:
        """Who claims this name, where several do."""
        rivals = self._claims.get(key, [])
        return Clash(rivals[0].spec, tuple(rival.origin for rival in rivals)) if len(rivals) > 1 else None


def _source(entry: Entry[Any]) -> tuple[str, str]:
    return entry.origin.distribution, entry.spec.target
