"""Keys pressed at random, and how long each took to be seen."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from flashdreams.client import Frame

SOONEST, LATEST = 0.15, 0.6
"""Seconds between two presses."""
REMEMBERED = 64
"""Presses that wait to be seen; older ones never will be."""


@dataclass(frozen=True)
class Latency:
    """How long one press took from key to pixel, in milliseconds."""

    total: float
    stages: Mapping[str, float] = field(default_factory=dict)
    """As the server measures them, and ``travel_ms``: both ways, and decoding."""


class Presses:
    """Draws what is pressed, and finds the frames that obey.

    Args:
        steering: What can be steered, as ``/v1/models`` says it.
        seed: Of the draws.
    """

    def __init__(self, steering: Mapping[str, Any], seed: int) -> None:
        self._draw = random.Random(seed)
        self._steering = steering
        self._waiting: deque[tuple[int, float]] = deque(maxlen=REMEMBERED)
        self.latencies: list[Latency] = []

    def pause(self) -> float:
        """Seconds until the next press."""
        return self._draw.uniform(SOONEST, LATEST)

    def next(self) -> dict[str, float | str]:
        """Values of one control; nothing where the model has none but texts."""
        controls = [*self._steering.get("axes", ()), *self._steering.get("choices", ())]
        if not controls:
            return {}
        control = self._draw.choice(controls)
        if "options" in control:
            return {control["name"]: self._draw.choice(control["options"])}
        held = sorted({*control.get("keys", {}).values(), control["rest"]})
        return {control["name"]: self._draw.choice(held)}

    def pressed(self, seq: int, at: float) -> None:
        """A control of this number was sent then, of ``time.monotonic()``."""
        self._waiting.append((seq, at))

    def seen(self, frame: Frame) -> None:
        """A frame was decoded: what it is the first to obey has been seen now."""
        while self._waiting and self._waiting[0][0] <= frame.seq:
            seq, at = self._waiting.popleft()
            total = 1e3 * (frame.arrived_at - at)
            # The stages are those of the last control that the frame obeys, so only for that do they add up.
            self.latencies.append(Latency(total, _stages(frame, total) if seq == frame.seq else {}))


def _stages(frame: Frame, total: float) -> dict[str, float]:
    stages = frame.stages
    return {**stages, "travel_ms": total - sum(stages.values())}
