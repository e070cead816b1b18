"""Scripted drivers: look at one pixel frame, return (steer, gas, brake).

They see what a player sees and nothing else, so they drive a dream and the true world
alike. numpy only, no state, deterministic.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from flashdreams.errors import ControlError, did_you_mean

_CENTRE = 31.5  # column and row of the car, pixels
_UNITS_PER_PIXEL = 42.0 / 64.0
_WHEEL_RADIUS = 0.54  # world units


def road_mask(frame: np.ndarray) -> np.ndarray:
    """Where a uint8 frame `[..., 3]` shows asphalt: grey, neither car nor kerb. Bool `[...]`."""
    pixels = np.asarray(frame).astype(np.int16)
    spread = pixels.max(axis=-1) - pixels.min(axis=-1)
    level = pixels.mean(axis=-1)
    return (spread < 26) & (level > 85) & (level < 140)


def centre_line(frame: np.ndarray, rows: int = 26) -> np.ndarray:
    """Middle of the road on each pixel row ahead of the car, followed upwards from it.

    Returns:
        `[N, 2]` float64, (pixels right of the car, pixels ahead of it), nearest first;
        N is smaller than `rows` where the road leaves the frame, 0 if there is none.
    """
    mask = road_mask(frame)
    points: list[tuple[float, float]] = []
    column = _CENTRE
    for ahead in range(5, 5 + rows):
        columns = np.flatnonzero(mask[round(_CENTRE - ahead)])
        if len(columns) == 0:
            break
        runs = np.split(columns, np.flatnonzero(np.diff(columns) > 2) + 1)
        middles = np.array([0.5 * (run[0] + run[-1]) for run in runs if len(run) > 1])
        if len(middles) == 0:
            break
        nearest = float(middles[np.abs(middles - column).argmin()])
        if points and abs(nearest - column) > 12:
            break
        column = nearest
        points.append((column - _CENTRE, float(ahead)))
    return np.array(points).reshape(-1, 2)


@dataclass(frozen=True)
class Driver:
    """Follows the road at a speed of its own.

    A single frame does not show the speed, so it is kept by gas and brake together: their
    ratio sets a speed at which engine and brake balance.
    """

    speed: float  # world units per second on a straight
    bend_speed: float  # world units per second where the road turns
    look_ahead: float = 15.0  # pixels
    sway: float = 0.0  # pixels to either side of the middle

    def __call__(self, frame: np.ndarray) -> tuple[float, float, float]:
        """Returns steer in [-1, 1] (positive is right), gas and brake in [0, 1]."""
        line = centre_line(frame)
        if len(line) == 0:
            return self._search(frame)
        reach = min(self.look_ahead, line[-1, 1])
        right, ahead = line[np.abs(line[:, 1] - reach).argmin()]
        right += self._sway(line)
        angle = float(np.arctan2(right, ahead))
        bend = abs(float(line[-1, 0] - line[0, 0])) / 10.0 + max(0.0, (24 - line[-1, 1]) / 12)
        speed = self.speed + (self.bend_speed - self.speed) * min(1.0, bend)
        return (float(np.clip(1.1 * angle, -1, 1)), *self._pedals(speed))

    def _sway(self, line: np.ndarray) -> float:
        """Keeps drifting to the side the car is heading for, until it is `sway` off the middle."""
        lateral = -float(line[0, 0])
        tilt = float(line[min(8, len(line) - 1), 0] - line[0, 0])
        side = 1.0 if tilt < 0 else -1.0
        return self.sway * (side if side * lateral < self.sway else -side)

    def _search(self, frame: np.ndarray) -> tuple[float, float, float]:
        """Off the road: turn towards whatever asphalt is in sight."""
        columns = np.nonzero(road_mask(frame))[1]
        side = float(np.sign(columns.mean() - _CENTRE)) if len(columns) else 1.0
        return (0.6 * side, *self._pedals(0.5 * self.bend_speed))

    @staticmethod
    def _pedals(speed: float) -> tuple[float, float]:
        gas = 0.2
        return gas, float(np.clip(16.7 * gas / (speed / _WHEEL_RADIUS + 5.0), 0.0, 0.8))


DRIVERS: dict[str, Driver] = {
    "steady": Driver(speed=38.0, bend_speed=24.0),
    "fast": Driver(speed=62.0, bend_speed=30.0),
    "weaver": Driver(speed=34.0, bend_speed=22.0, sway=3.0),
}


def driver(name: str) -> Driver:
    """The driver of that name.

    Raises:
        ControlError: There is none.
    """
    if name not in DRIVERS:
        raise ControlError(
            f"There is no driver {name!r}.",
            did_you_mean(name, DRIVERS),
            f"Set --controls to policy:{next(iter(DRIVERS))}, for instance.",
        )
    return DRIVERS[name]
