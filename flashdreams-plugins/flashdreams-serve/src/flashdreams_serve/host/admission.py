"""Who may dream now, and who waits. No torch, no thread here."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable
from typing import Generic, TypeVar

from flashdreams_serve.host.errors import OrderRefusedError, QueueFullError, TooManySessionsError
from flashdreams_serve.settings import Limits

Key = TypeVar("Key", bound=Hashable)


class Admission(Generic[Key]):
    """Places for sessions, and a queue of those that found none.

    Args:
        limits: How many dream, wait, and belong to one client.
    """

    def __init__(self, limits: Limits) -> None:
        self.limit = limits.sessions
        """Sessions that dream at once."""
        self._limits = limits
        self._clients: dict[Key, str] = {}
        self._placed: list[Key] = []
        self._waiting: list[Key] = []

    @property
    def used(self) -> int:
        """Places that are taken."""
        return len(self._placed)

    @property
    def waiting(self) -> tuple[Key, ...]:
        """Who waits, the next one first."""
        return (*self._waiting,)

    def position(self, key: Key) -> int:
        """Place in the queue, from 1; 0 for who does not wait."""
        return self._waiting.index(key) + 1 if key in self._waiting else 0

    def admit(self, key: Key, client: str) -> None:
        """Give a place, or the last one in the queue.

        Raises:
            TooManySessionsError: The client has as many sessions as it may have.
            QueueFullError: As many wait as may wait.
        """
        self._check_client(client)
        if self.used < self.limit and not self._waiting:
            self._placed.append(key)
        elif len(self._waiting) < self._limits.queue:
            self._waiting.append(key)
        else:
            raise QueueFullError(
                f"{self.used} sessions dream, and {len(self._waiting)} wait.",
                f"At most {self._limits.queue} may wait.",
                "Try again in a while.",
            )
        self._clients[key] = client

    def admit_now(self, key: Key, client: str) -> None:
        """Give a place that is free.

        Raises:
            TooManySessionsError: The client has as many sessions as it may have.
            OrderRefusedError: No place is free.
        """
        self._check_client(client)
        if self.used >= self.limit or self._waiting:
            raise OrderRefusedError(
                "no_free_slot",
                f"All {self.limit} places are taken, or are waited for.",
                "Another session needs a place of its own.",
                "Try again when one is free, or close one of yours.",
            )
        self._placed.append(key)
        self._clients[key] = client

    def leave(self, key: Key) -> list[Key]:
        """Give up a place, in the queue or not; who gets one by that is returned. Twice is once."""
        self._clients.pop(key, None)
        for each in (self._placed, self._waiting):
            if key in each:
                each.remove(key)
        return self._move_up()

    def set_limit(self, limit: int, keep: frozenset[Key] = frozenset()) -> list[Key]:
        """Let so many dream at once; who loses its place goes to the head of the queue, and is returned.

        Args:
            limit: How many.
            keep: Who has begun already and keeps its place.
        """
        self.limit = limit
        losing = [key for key in reversed(self._placed) if key not in keep][: max(0, self.used - limit)]
        self._placed = [key for key in self._placed if key not in losing]
        self._waiting = [*reversed(losing), *self._waiting]
        return losing

    def _move_up(self) -> list[Key]:
        moved = self._waiting[: max(0, self.limit - self.used)]
        self._waiting = self._waiting[len(moved) :]
        self._placed += moved
        return moved

    def _check_client(self, client: str) -> None:
        most = self._limits.sessions_per_client
        if Counter(self._clients.values())[client] >= most:
            raise TooManySessionsError(
                f"This client has {most} sessions.",
                f"A client has at most {most}, those that wait included.",
                "Close one of them, or wait until one has ended.",
            )
