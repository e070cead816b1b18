"""How much the line of a WebRTC connection carries, as far as the browser at its end can tell."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable

LEAST = 100_000
"""Bits a second below which a picture is not worth to be sent."""
_WINDOW = 1.0
"""Seconds over which it is counted what is sent; browsers count what arrives over as many."""
_FELL = 0.95
"""Share of the estimate before it: one below that means that frames queue up on the way."""
_LESS = 0.9
_FEW_LOST, _MANY_LOST = 0.02, 0.1
_FASTER = 1.08


class LineRate:
    """A bound for bits a second, from what a browser reports.

    Estimates of delay (REMB, draft-alvestrand-rmcat-remb) come a few times a second. Whoever gets little
    estimates little, however much the line would carry; so an estimate counts as a bound only once it has
    fallen below what is sent. Then the bound follows it, down and up again. Beside it packets that were lost
    lower a second bound, as in section 6 of draft-ietf-rmcat-gcc: for lines that drop what others delay.

    Args:
        most: Bits a second that are never gone beyond.
        clock: Seconds that only go forward.
    """

    def __init__(self, most: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._most = most
        self._clock = clock
        self._by_delay = self._by_loss = float(most)
        self._estimate = math.inf
        self._sent: deque[tuple[float, int]] = deque()

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
        has_fallen, self._estimate = bits < _FELL * self._estimate, bits
        if has_fallen and bits < _LESS * self._sending:
            self._by_delay = min(self._by_delay, bits)
        elif bits > self._by_delay:
            self._by_delay = min(self._most, bits)

    def lost(self, share: float) -> None:
        """The browser has not got this share of the packets, of those since it said so last."""
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
