"""Who drives while data is collected: mostly well, sometimes badly, in every way a player might.

Unlike the drivers of the product these may look at the true world's state.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from flashdreams_pocket.drivers import DRIVERS
from flashdreams_pocket.train.world import World, nearest_tile

Policy = Callable[[World, np.ndarray], np.ndarray]
"""(world, last frame) to (steer, gas, brake)."""


class Drift:
    """Ornstein-Uhlenbeck noise: `std` at rest, forgetting itself in about `frames` frames."""

    def __init__(self, rng: np.random.Generator, std: float, frames: float) -> None:
        self.rng, self.std, self.keep = rng, std, math.exp(-1.0 / frames)
        self.value = rng.normal() * std

    def __call__(self) -> float:
        """The next value."""
        kick = self.std * math.sqrt(1 - self.keep**2) * self.rng.normal()
        self.value = self.keep * self.value + kick
        return self.value


class Follower:
    """Steers for a point ahead on the track, off the middle by a drifting offset."""

    def __init__(self, rng: np.random.Generator, noise: float | None = None) -> None:
        self.speed = rng.uniform(18.0, 75.0)  # world units/s on a straight
        self.caution = rng.uniform(0.5, 2.5)
        self.tiles = int(rng.integers(2, 6))
        noise = rng.uniform(0.0, 0.35) if noise is None else noise
        self.steer_noise = Drift(rng, noise, 6.0)
        self.speed_noise = Drift(rng, 8.0, 60.0)
        self.offset = Drift(rng, rng.uniform(0.0, 4.0), 40.0)

    def __call__(self, world: World, frame: np.ndarray) -> np.ndarray:
        """Steer, gas and brake."""
        track, index = world.track, nearest_tile(world)
        x, y, beta = track[(index + self.tiles) % len(track)]
        offset = self.offset()
        aim = np.array([x + offset * math.cos(beta), y + offset * math.sin(beta)]) - world.position
        cos, sin = math.cos(world.angle), math.sin(world.angle)
        angle = math.atan2(cos * aim[0] + sin * aim[1], cos * aim[1] - sin * aim[0])
        turn = abs(_wrap(track[(index + self.tiles + 3) % len(track), 2] - track[index, 2]))
        target = max(10.0, (self.speed + self.speed_noise()) / (1.0 + self.caution * turn))
        target /= 1.0 + 2.0 * max(0.0, abs(angle) - 0.3)
        gas = np.clip(0.06 * (target - world.speed), 0.0, 1.0 if abs(angle) < 0.5 else 0.15)
        brake = np.clip(0.04 * (world.speed - target - 4.0), 0.0, 0.8)
        return _legal(1.4 * angle + self.steer_noise(), gas, brake)


class Keys:
    """Another policy through a keyboard: every control is either on or off, held a few frames."""

    def __init__(self, rng: np.random.Generator, inner: Policy) -> None:
        self.rng, self.inner, self.held = rng, inner, 0
        self.threshold = rng.uniform(0.12, 0.3)
        self.full = rng.choice([0.3, 0.5, 0.8, 1.0])
        self.reckless = rng.random() < 0.3  # does not lift the throttle to steer
        self.action = np.zeros(3)

    def __call__(self, world: World, frame: np.ndarray) -> np.ndarray:
        """Steer, gas and brake."""
        steer, gas, brake = self.inner(world, frame)
        if self.held <= 0:
            side = np.sign(steer) * (abs(steer) > self.threshold)
            gas = float(gas > 0.2 and (self.reckless or side == 0 or world.speed < 20))
            self.action = np.array([self.full * side, gas, 0.8 * float(brake > 0.1)])
            self.held = int(self.rng.integers(1, 4))
        self.held -= 1
        return self.action


class Careless:
    """Turns to nonsense for a while, then finds back to the road, again and again."""

    def __init__(self, rng: np.random.Generator, nonsense: Callable[[], Policy]) -> None:
        self.rng, self.nonsense, self.sane = rng, nonsense, Follower(rng, 0.1)
        self.current: Policy = self.sane
        self.left = int(rng.integers(20, 60))

    def __call__(self, world: World, frame: np.ndarray) -> np.ndarray:
        """Steer, gas and brake."""
        if self.left == 0:
            mad = self.current is self.sane
            self.current = self.nonsense() if mad else self.sane
            self.left = int(self.rng.integers(10, 35) if mad else self.rng.integers(50, 120))
        self.left -= 1
        return self.current(world, frame)


class Random:
    """Pieces of constant controls; `brake` of them are spent on the brake pedal."""

    def __init__(self, rng: np.random.Generator, steer: float, brake: float) -> None:
        self.rng, self.steer, self.brake = rng, steer, brake
        self.left, self.action = 0, np.zeros(3)

    def __call__(self, world: World, frame: np.ndarray) -> np.ndarray:
        """Steer, gas and brake."""
        if self.left == 0:
            braking = self.rng.random() < self.brake
            gas = 0.0 if braking else self.rng.choice([0.0, 0.3, 0.6, 1.0])
            brake = self.rng.choice([0.1, 0.4, 0.8, 1.0]) if braking else 0.0
            self.action = _legal(self.steer * self.rng.uniform(-1, 1), gas, brake)
            self.left = int(self.rng.integers(2, 18))
        self.left -= 1
        return self.action


class Brakes:
    """A follower that stops for no reason, stands a while and drives on."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng, self.inner, self.left, self.stop = rng, Follower(rng), 30, False
        self.force = 0.8

    def __call__(self, world: World, frame: np.ndarray) -> np.ndarray:
        """Steer, gas and brake."""
        if self.left == 0:
            self.stop = not self.stop
            self.left = int(self.rng.integers(10, 40))
            self.force = self.rng.choice([0.0, 0.1, 0.3, 0.8, 1.0])
        self.left -= 1
        action = self.inner(world, frame)
        return _legal(action[0], 0.0, self.force) if self.stop else action


def draw_policy(rng: np.random.Generator) -> tuple[str, Policy]:
    """One episode's driver, by the shares below."""
    names, shares = zip(*SHARES.items(), strict=True)
    name = str(rng.choice(names, p=shares))
    if name == "follower":
        return name, Follower(rng)
    if name == "keys":
        return name, Keys(rng, Follower(rng, 0.15))
    if name == "careless":
        return name, Careless(rng, lambda: Random(rng, 1.0, 0.3))
    if name == "pixels":
        inner, drift = DRIVERS[str(rng.choice(sorted(DRIVERS)))], Drift(rng, 0.08, 5.0)
        return name, lambda world, frame: _legal(inner(frame)[0] + drift(), *inner(frame)[1:])
    if name == "brakes":
        return name, Brakes(rng)
    if name == "steer":
        return name, Careless(rng, lambda: Random(rng, 0.4, 0.1))
    return name, Random(rng, 1.0, 0.35)


SHARES = {
    "follower": 0.40,
    "keys": 0.15,
    "careless": 0.12,
    "pixels": 0.13,
    "brakes": 0.06,
    "steer": 0.10,
    "wild": 0.04,
}


def _legal(steer: float, gas: float, brake: float) -> np.ndarray:
    return np.array([np.clip(steer, -1, 1), np.clip(gas, 0, 1), np.clip(brake, 0, 1)])


def _wrap(angle: float) -> float:
    return (angle + math.pi) % (2 * math.pi) - math.pi
