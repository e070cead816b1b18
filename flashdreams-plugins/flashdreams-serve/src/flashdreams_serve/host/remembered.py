"""Sessions that have ended, and can still be asked how. No torch here."""

from __future__ import annotations

from collections import OrderedDict
from typing import Generic, TypeVar

Thing = TypeVar("Thing")

_MOST = 256


class Remembered(Generic[Thing]):
    """Keeps things under their names for a while, and not more than a few hundred.

    Args:
        seconds: How long.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._things: OrderedDict[str, tuple[float, Thing]] = OrderedDict()

    def add(self, name: str, thing: Thing, now: float) -> None:
        """Keep a thing from now on."""
        self._things[name] = now, thing
        self._forget(now)

    def find(self, name: str, now: float) -> Thing | None:
        """The thing of that name, while it is kept."""
        self._forget(now)
        found = self._things.get(name)
        return None if found is None else found[1]

    def _forget(self, now: float) -> None:
        while self._things:
            since, _ = next(iter(self._things.values()))
            if len(self._things) <= _MOST and now - since <= self._seconds:
                break
            self._things.popitem(last=False)
