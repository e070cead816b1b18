"""How often: buckets of tokens that fill with time."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable

BURST_SECONDS = 2.0
"""A bucket holds as much as flows into it in this time."""
MOST_BUCKETS = 4096


class Bucket:
    """Lets through so many a second on average, and a burst of two seconds' worth."""

    def __init__(self, per_second: float, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._per_second = per_second
        self._most = max(1.0, per_second * BURST_SECONDS)
        self._clock = clock
        self._level = self._most
        self._filled_at = clock()

    def take(self) -> bool:
        """Whether there is room for one more now."""
        now = self._clock()
        self._level = min(self._most, self._level + (now - self._filled_at) * self._per_second)
        self._filled_at = now
        if self._level < 1.0:
            return False
        self._level -= 1.0
        return True

    @property
    def seconds_to_next(self) -> float:
        """Seconds until there is room again."""
        return max(0.0, (1.0 - self._level) / self._per_second)


class Rates:
    """A bucket for each client address; of so many addresses the one heard longest ago is forgotten."""

    def __init__(self, per_second: float, *, most: int = MOST_BUCKETS) -> None:
        self._per_second = per_second
        self._most = most
        self._buckets: OrderedDict[str, Bucket] = OrderedDict()

    def __len__(self) -> int:
        return len(self._buckets)

    def bucket(self, client: str) -> Bucket:
        """The bucket of a client address, a full one where it is new."""
        bucket = self._buckets.get(client) or Bucket(self._per_second)
        self._buckets[client] = bucket
        self._buckets.move_to_end(client)
        while len(self._buckets) > self._most:
            self._buckets.popitem(last=False)
        return bucket
