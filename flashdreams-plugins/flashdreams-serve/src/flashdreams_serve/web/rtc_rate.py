"""How much the line of a WebRTC connection carries, as far as the browser at its end can tell."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

LEAST = 100_000
"""Bits a second below which a picture is not worth to be sent."""
_WINDOW = 1.0
"""Seconds over which it is counted what is sent; browsers count what arrives over as many."""
_FELL = 0.95
"""Share of the highest estimate lately: one below that means that packets queue up on the way."""
_FORGOTTEN = 0.99
"""Share of the highest estimate that counts when the next one comes, some tenths of a second later."""
_LESS = 0.9
_FEW_LOST, _MANY_LOST = 0.02, 0.1
_FASTER = 1.08
_LOSS_SECONDS = 1.0
"""Time over which losses are counted: browsers report them as often as every few packets."""


class LineRate:
    """A bound for bits a second, from what a browser reports.

    Estimates of delay (REMB, draft-alvestrand-rmcat-remb) come a few times a second. Whoever gets little
    estimates little, however much the line would carry; so an estimate becomes a bound only where it falls,
    or begins, below what is sent. Then the bound follows it, down and up again. Beside it packets that were
    lost lower a second bound once a second, as in section 6 of draft-ietf-rmcat-gcc: for lines that drop what
    others delay.

    Args:
        most: Bits a second that are never gone beyond.
        clock: Seconds that only go forward.
    """

    def __init__(self, most: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._most = most
        self._clock = clock
        self._by_delay = self._by_loss = float(most)
        self._highest: float | None = None
        self._sent: deque[tuple[float, int]] = deque()
        self._counted = (0, 0)
        self._counted_at = clock()

    @property
    def bound(self) -> int:
        """Bits a second that the line carries; ``most`` where nothing speaks against that."""
        return round(max(LEAST, min(self._by_delay, self._by_loss)))

    def sent(self, size: int) -> None:
        """So many bytes have been sent."""
        self._sent.append((self._clock(), 8 * size))
        self._forget()

    def estimated(self, bits: float) -> None:
        """The browser estimates that so many bits a second arrive without delay."""
        has_fallen = self._highest is None or bits < _FELL * self._highest
        self._highest = max(bits, _FORGOTTEN * (self._highest or 0.0))
        if bits >= self._by_delay:
            self._by_delay = min(self._most, bits)
        elif (has_fallen or self._by_delay < self._most) and bits < _LESS * self._sending:
            self._by_delay = bits

    def counted(self, packets: int, lost: int) -> None:
        """The browser has counted so many packets since it began, and misses so many of them."""
        now, (before, lost_before) = self._clock(), self._counted
        if now - self._counted_at < _LOSS_SECONDS:
            return
        self._counted, self._counted_at = (packets, lost), now
        if 0 < before < packets:  # where counting begins is drawn at random
            self._misses((lost - lost_before) / (packets - before))

    def _misses(self, share: float) -> None:
        if share > _MANY_LOST:
            self._by_loss = max(LEAST, min(self._by_loss, self._sending) * (1 - share / 2))
        elif share < _FEW_LOST:
            self._by_loss = min(self._most, self._by_loss * _FASTER)

    @property
    def _sending(self) -> float:
        """Bits a second that were sent lately."""
        self._forget()
        return sum(bits for _, bits in self._sent) / _WINDOW

    def _forget(self) -> None:
        while self._sent and self._sent[0][0] < self._clock() - _WINDOW:
            self._sent.popleft()
