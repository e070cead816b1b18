"""Wakes a thread that sleeps until there is something to do."""

from __future__ import annotations

import threading


class Bell:
    """Rung by any thread; where nobody sleeps, whoever would sleep next does not.

    Args:
        changed: Held while it is rung; whoever waits for it is woken, too.
    """

    def __init__(self, changed: threading.Condition) -> None:
        self._changed = changed
        self._is_rung = False

    def ring(self) -> None:
        """Wake who sleeps."""
        with self._changed:
            self._is_rung = True
            self._changed.notify_all()

    def wait(self, seconds: float) -> None:
        """Sleep until it is rung, or for so long."""
        with self._changed:
            if not self._is_rung:
                self._changed.wait(seconds)
            self._is_rung = False
