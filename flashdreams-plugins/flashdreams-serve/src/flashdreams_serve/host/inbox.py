"""The controls that came in since the last chunk, merged. No torch here."""

from __future__ import annotations

import threading
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

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


class Inbox:
    """Takes controls from any thread, until the thread that computes takes them all at once.

    It holds one value for each control, however many come in.

    Args:
        texts: Names of the controls that are texts.
    """

    def __init__(self, texts: Collection[str]) -> None:
        self.texts = frozenset(texts)
        self._lock = threading.Lock()
        self._last_seq = 0
        self._held, self._said = Taken(), Taken()
        self._obeyed = Obeyed()

    def put(self, control: Control) -> bool:
        """Add a control; whether it was: one whose number is not above the last is stale."""
        said = {name: value for name, value in control.values.items() if name in self.texts}
        held = {name: value for name, value in control.values.items() if name not in self.texts}
        with self._lock:
            if control.seq <= self._last_seq:
                return False
            self._last_seq = control.seq
            last = Obeyed(
                seq=control.seq,
                sent_at=control.sent_at,
                received_at=control.received_at,
                connection=self._obeyed.connection,
            )
            if said:
                self._said = self._said.with_more(said, last)
            if held or not said:
                self._held = self._held.with_more(held, last)
            return True

    def take(self) -> tuple[Taken, Taken]:
        """All that came in since it was called last: axes and choices, and texts."""
        with self._lock:
            taken = self._held, self._said
            self._held, self._said = Taken(), Taken()
            return taken

    def obey(self, *lasts: Obeyed | None) -> Obeyed:
        """Note what a chunk obeys; of several the last, and of none what the one before it did."""
        with self._lock:
            now = [last for last in lasts if last and last.connection == self._obeyed.connection]
            self._obeyed = max([self._obeyed, *now], key=lambda each: each.seq)
            return self._obeyed

    def begin_anew(self) -> None:
        """Somebody else steers from here on: numbers begin anew, and time stamps are of another clock."""
        with self._lock:
            self._last_seq, self._obeyed = 0, Obeyed(connection=self._obeyed.connection + 1)
            self._held, self._said = (
                Taken(values=each.values, last=each.last and self._obeyed)
                for each in (self._held, self._said)
            )
