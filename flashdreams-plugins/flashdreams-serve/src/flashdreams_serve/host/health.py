"""Whether chunks can be made at all, judged by what became of the last ones. No torch here."""

from __future__ import annotations

from collections.abc import Callable

_FAILURES = 3
_FIRST_PAUSE, _LONGEST_PAUSE = 2.0, 60.0


class Health:
    """Sick after three failures without a good chunk between them, and well again with one.

    While it is sick nothing new is begun but trials, further and further apart. Times are in seconds.

    Args:
        on_change: Is told whether it is well, when that changes.
    """

    def __init__(self, on_change: Callable[[bool], None]) -> None:
        self._on_change = on_change
        self._failures = 0
        self._pause = _FIRST_PAUSE
        self._trial_at = 0.0

    @property
    def is_well(self) -> bool:
        """Whether sessions may begin."""
        return self._failures < _FAILURES

    def wants_trial(self, now: float) -> bool:
        """Whether it is time to try again."""
        return not self.is_well and now >= self._trial_at

    def failed(self, now: float) -> None:
        """A chunk, or the beginning of a rollout, has failed."""
        was_well = self.is_well
        self._failures += 1
        if not self.is_well:
            self._trial_at = now + self._pause
            self._pause = min(2 * self._pause, _LONGEST_PAUSE)
        if was_well and not self.is_well:
            self._on_change(False)

    def succeeded(self) -> None:
        """A chunk was made."""
        was_well = self.is_well
        self._failures, self._pause = 0, _FIRST_PAUSE
        if not was_well:
            self._on_change(True)
