"""What a soak has seen: every answer to bad input by its code, and whatever was no proper answer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

PARTS = ("code", "what", "right", "next")
CLOSINGS = frozenset({1000, 1001, 1009, 4400, 4401, 4403, 4404, 4408, 4409, 4429})
"""Codes with which a server may close a WebSocket: those of the protocol, and 1009 for what is so large that
it is not even read."""


@dataclass
class Ledger:
    """Counts answers, and keeps what is wrong."""

    acts: Counter[str] = field(default_factory=Counter)
    """What the clients did."""
    codes: Counter[str] = field(default_factory=Counter)
    """Typed errors, by code."""
    closings: Counter[int] = field(default_factory=Counter)
    statuses: Counter[int] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)
    """Answers that no server of FlashDreams should give."""

    def answer(self, act: str, status: int, tree: Any) -> None:
        """An HTTP answer."""
        self.statuses[status] += 1
        if status < 400:
            return
        error = tree.get("error") if isinstance(tree, Mapping) else None
        if status >= 500 and status != 503:
            self.fault(f"{act}: status {status}")
        self.error(f"{act}, {status}", error)

    def error(self, act: str, error: Any) -> None:
        """What should be a typed error."""
        if isinstance(error, Mapping) and all(isinstance(error.get(part), str) for part in PARTS):
            self.codes[error["code"]] += 1
            if any(word in str(error) for word in ("Traceback", "/site-packages", ".py")):
                self.fault(f"{act}: the error tells what it must not: {error}")
        else:
            self.fault(f"{act}: no typed error, but {str(error)[:200]}")

    def closing(self, act: str, code: int | None, *, wanted: bool = False) -> None:
        """A WebSocket was closed by the server."""
        self.closings[code or 0] += 1
        if code not in CLOSINGS and not (wanted and code is None):
            self.fault(f"{act}: closed with {code}")

    def fault(self, text: str) -> None:
        """Something is wrong."""
        if len(self.faults) < 50:
            self.faults.append(text)
