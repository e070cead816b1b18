"""The controls that came in since the last chunk, merged. No torch here."""

from __future__ import annotations

import threading
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from flashdreams.infra.runner.steering import Value
from flashdreams_serve.host.orders import Control


@dataclass(frozen=True, kw_only=True)
class Obeyed:
    """The last control that a chunk obeys."""

    seq: int = 0
    sent_at: float | None = None
    received_at: float | None = None
    connection: int = 0
    """Which connection of the session it came from."""


@dataclass(frozen=True, kw_only=True)
class Taken:
    """Controls of one kind that the next chunk is to obey: texts, or axes and choices."""

    values: Mapping[str, Value] = field(default_factory=dict)
    """New values by name; of several for one control the last."""
    last: Obeyed | None = None
    """The last control among them; None where nothing came in."""

    def with_more(self, values: Mapping[str, Value], last: Obeyed) -> Taken:
        """These, and then others."""
        return Taken(values={**self.values, **values}, last=last)


News: TypeAlias = tuple[Taken, Taken]
"""What comes with a chunk: axes and choices, and texts."""

NOTHING_NEW: News = (Taken(), Taken())


class Inbox:
    """Takes controls from any thread, until the thread that computes takes them all at once.

    It holds one value for each control, however many come in, and a second one for the chunk after that: a
    key that is let go before the next chunk began was pressed all the same, so one chunk obeys it.

    Args:
        texts: Names of the controls that are texts.
        held: What the model holds axes and choices at.
    """

    def __init__(self, texts: Collection[str], held: Mapping[str, Value]) -> None:
        self.texts = frozenset(texts)
        self._lock = threading.Lock()
        self._last_seq = 0
        self._model = dict(held)
        self._next, self._later = NOTHING_NEW, NOTHING_NEW
        self._obeyed = Obeyed()

    def put(self, control: Control) -> bool:
        """Add a control; whether it was: one whose number is not above the last is stale."""
        with self._lock:
            if control.seq <= self._last_seq:
                return False
            self._last_seq = control.seq
            if self._later != NOTHING_NEW or self._lets_go(control.values):
                self._later = self._with(self._later, control)
            else:
                self._next = self._with(self._next, control)
            return True

    def take(self) -> News:
        """What the next chunk obeys, of all that came in since it was called last."""
        with self._lock:
            taken = self._next
            self._next, self._later = self._later, NOTHING_NEW
            self._model.update(taken[0].values)
            return taken

    def obey(self, *lasts: Obeyed | None) -> Obeyed:
        """Note what a chunk obeys; of several the last, and of none what the one before it did."""
        with self._lock:
            now = [last for last in lasts if last and last.connection == self._obeyed.connection]
            self._obeyed = max([self._obeyed, *now], key=lambda each: each.seq)
            return self._obeyed

    def model_holds(self, held: Mapping[str, Value]) -> None:
        """The model holds axes and choices at other values than it was told: another rollout has begun."""
        with self._lock:
            self._model = dict(held)

    def begin_anew(self) -> None:
        """Somebody else steers from here on: numbers begin anew, and time stamps are of another clock."""
        with self._lock:
            self._last_seq, self._obeyed = 0, Obeyed(connection=self._obeyed.connection + 1)
            self._next, self._later = self._unsigned(self._next), self._unsigned(self._later)

    def _lets_go(self, values: Mapping[str, Value]) -> bool:
        """Whether something that no chunk has obeyed yet would be set back to what the model holds."""
        waiting = self._next[0].values
        return any(
            name in waiting and waiting[name] != self._model.get(name) == value
            for name, value in values.items()
        )

    def _with(self, news: News, control: Control) -> News:
        held, said = news
        last = Obeyed(
            seq=control.seq,
            sent_at=control.sent_at,
            received_at=control.received_at,
            connection=self._obeyed.connection,
        )
        texts = {name: value for name, value in control.values.items() if name in self.texts}
        others = {name: value for name, value in control.values.items() if name not in self.texts}
        return (
            held.with_more(others, last) if others or not texts else held,
            said.with_more(texts, last) if texts else said,
        )

    def _unsigned(self, news: News) -> News:
        held, said = (Taken(values=each.values, last=each.last and self._obeyed) for each in news)
        return held, said
