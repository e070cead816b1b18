"""Whose turn it is: fair shares of one model, at the pace of the video. No torch, thread or clock here."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)


@dataclass
class _Share:
    """What one of those that take turns has had."""

    chunks: int
    """Chunks made for it, reckoned so that whoever comes later begins on a level with the others."""
    due_at: float
    is_paced: bool = True


class Turns(Generic[Key]):
    """Gives the next chunk to whoever is due and has had the fewest.

    Nobody starves and nobody gets ahead: while all are due, their counts of chunks differ by one at most.
    Whoever comes, or comes back, begins between the least and the most that the others have had. Times are
    seconds on any clock that only goes forward.

    Args:
        period: Seconds from one chunk of a video to the next.
    """

    def __init__(self, period: float) -> None:
        self.period = period
        self._present: dict[Key, _Share] = {}
        self._away: dict[Key, _Share] = {}

    def __contains__(self, key: Key) -> bool:
        return key in self._present

    def __iter__(self) -> Iterator[Key]:
        return iter([*self._present])

    def join(self, key: Key, now: float) -> None:
        """Let ``key`` take turns from now on; one that was away is due no sooner than if it had stayed."""
        others = [share.chunks for each, share in self._present.items() if each != key]
        share = self._present.get(key) or self._away.pop(key, None) or _Share(0, now)
        if others:
            share.chunks = min(max(share.chunks, min(others)), max(others))
        share.due_at = max(share.due_at, now)
        self._present[key] = share

    def pace(self, key: Key, *, is_paced: bool) -> None:
        """Say whether the chunks of ``key`` are made no faster than they are shown, as they are at first."""
        self._present[key].is_paced = is_paced

    def pause(self, key: Key) -> None:
        """Give ``key`` no turns until it joins again."""
        if key in self._present:
            self._away[key] = self._present.pop(key)

    def leave(self, key: Key) -> None:
        """Forget ``key``."""
        self._present.pop(key, None)
        self._away.pop(key, None)

    def due(self, now: float) -> list[Key]:
        """Who may take a turn now: first who has had the fewest chunks, and of these who waits longest."""
        waiting = [(share.chunks, share.due_at, key) for key, share in self._present.items()]
        return [key for _, due_at, key in sorted(waiting, key=lambda each: each[:2]) if due_at <= now]

    def next_due(self) -> float | None:
        """When somebody is due next; None where nobody takes turns."""
        return min((share.due_at for share in self._present.values()), default=None)

    def due_at(self, key: Key) -> float:
        """When ``key`` is due."""
        return self._present[key].due_at

    def take(self, key: Key, now: float) -> bool:
        """Count a chunk that is begun now for ``key``, which is due again one period after this turn was.

        Who is more than one period late makes up for one only: the rest is not caught up with.

        Returns:
            Whether it was that late.
        """
        share = self._present[key]
        share.chunks += 1
        if not share.is_paced:
            share.due_at = now
            return False
        missed = now - share.due_at > self.period
        share.due_at = now if missed else share.due_at + self.period
        return missed

    def shown_for(self, key: Key, seconds: float) -> None:
        """The chunk that ``key`` began last is shown for so long only: a first chunk may be shorter."""
        share = self._present.get(key)
        if share is not None and share.is_paced:
            share.due_at -= max(0.0, self.period - seconds)
