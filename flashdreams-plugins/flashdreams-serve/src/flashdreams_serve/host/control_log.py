"""The control log: what a rollout began with and what steered it, from which it can be made again."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator, Mapping
from typing import Any

from flashdreams.infra.runner.steering import Steering, Value
from flashdreams_serve.host.orders import Opening

_PER_ENTRY = 16
"""Bytes of JSON around the values of one chunk, at most."""


class ControlLog:
    """What steered each chunk, noted where it changed.

    Args:
        opening: What the rollout began with, its seed included.
        steering: What the model is steered by.
        most_bytes: Bytes of JSON up to which it is kept; what would go beyond cannot be made again.
    """

    def __init__(self, opening: Opening, steering: Steering, most_bytes: int) -> None:
        self.opening = opening
        self.chunks = 0
        """Chunks that are final."""
        self.is_whole = True
        """Whether everything was noted; what went beyond ``most_bytes`` was not."""
        self.held: dict[str, Value] = dict(steering.rest)
        """What axes and choices are held at."""
        self.changes: list[tuple[int, dict[str, Value]]] = []
        """Chunks that obey other controls than the one before them, and what is new with them."""
        self.came_with: Mapping[str, Any] = {}
        """What it says that it was made with, where it was read; as :func:`made_with.told_in` has it."""
        self.texts = frozenset(text.name for text in steering.texts)
        """Names of the controls that are texts."""
        self._steering, self._most_bytes = steering, most_bytes
        self._room = most_bytes

    def news(self, values: Mapping[str, Value]) -> dict[str, Value]:
        """Of some values, those that change anything: texts always do."""
        held = self.held
        return {
            name: value for name, value in values.items() if name in self.texts or held.get(name) != value
        }

    def steers(self, news: Mapping[str, Value]) -> dict[str, Value]:
        """All values that steer a chunk with which ``news`` come."""
        return {**self.held, **news}

    def note(self, news: Mapping[str, Value]) -> None:
        """The next chunk is final, and ``news`` came with it."""
        if news:
            self._room -= len(json.dumps(news)) + _PER_ENTRY
            self.is_whole = self.is_whole and self._room >= 0
            if self.is_whole:
                self.changes.append((self.chunks, dict(news)))
            self.held.update({name: value for name, value in news.items() if name not in self.texts})
        self.chunks += 1

    def skip_to(self, chunk: int) -> None:
        """Nothing was new with the chunks before this one."""
        self.chunks = chunk

    def per_chunk(self) -> Iterator[dict[str, Value]]:
        """What is new with each chunk, in turn."""
        changes = dict(self.changes)
        return (changes.get(chunk, {}) for chunk in range(self.chunks))

    def past(self) -> Past:
        """Its chunks, to be made again."""
        return Past(dict(self.changes), self.chunks)

    def copy(self) -> ControlLog:
        """The same log, to go its own way from here. In another thread it may lack the chunk being noted."""
        other = copy.copy(self)
        other.held = dict(self.held)
        other.changes = [change for change in self.changes if change[0] < other.chunks]
        return other

    def begun_again(self) -> ControlLog:
        """An empty log with the same opening."""
        other = ControlLog(self.opening, self._steering, self._most_bytes)
        other.came_with = self.came_with
        return other


class Past:
    """Chunks of a log that are made again, one after the other; however many, it takes the room of the log.

    Args:
        changes: What is new, by chunk.
        chunks: How many there are.
        done: How many have been made again.
    """

    def __init__(self, changes: Mapping[int, Mapping[str, Value]], chunks: int, done: int = 0) -> None:
        self._changes = changes
        self._chunks = chunks
        self._done = done

    def __len__(self) -> int:
        return self._chunks - self._done

    @property
    def news(self) -> Mapping[str, Value]:
        """What is new with the chunk that is made next."""
        return self._changes.get(self._done, {})

    def advance(self) -> None:
        """The next chunk has been made."""
        self._done += 1

    def rest(self) -> Past:
        """Those that are not yet made, for somebody else to make."""
        return Past(self._changes, self._chunks, self._done)


NO_PAST = Past({}, 0)
"""Nothing is made again."""
