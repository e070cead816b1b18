"""The true world: CarRacing-v3 physics behind a small renderer of our own.

The physics is gymnasium's (MIT licence), untouched. Its renderer is not used: a world
model of 64x64 frames wants the car in the centre, its heading up, no score and no HUD.

Everything is a function of (seed, actions): running a seed again with the same actions
gives the same frames bit for bit, so the world can be branched under any other actions.
"""

from __future__ import annotations

import math
import os

import numpy as np

os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")

import pygame
from gymnasium.envs.box2d.car_dynamics import WHEEL_WHITE
from gymnasium.envs.box2d.car_racing import GRASS_DIM, PLAYFIELD, CarRacing

SIZE = 64  # pixels, height and width of a frame
SUPERSAMPLE = 3
VIEW = 42.0  # world units across a frame
FRAME_SKIP = 3  # physics steps per frame: 50 / 3 = 16.67 frames/s
FRAME_SECONDS = FRAME_SKIP / 50.0

_CANVAS = SIZE * SUPERSAMPLE
_SCALE = _CANVAS / VIEW
_REACH = VIEW * 0.75 + 5.0  # nothing further from the car than this can be seen


class _Physics(CarRacing):
    """CarRacing without its renderer."""

    def _render(self, mode: str) -> None:
        return None


class World:
    """One episode of the true world.

    Attributes:
        track: `[N, 3]` float64: x, y of the centre line in world units, and the direction
            of travel in radians (0 is +y, counter-clockwise positive).
    """

    def __init__(self) -> None:
        self._env = _Physics()
        self._canvas = pygame.Surface((_CANVAS, _CANVAS))

    def reset(self, seed: int) -> np.ndarray:
        """Begins the episode of a seed; returns its first frame, uint8 `[64, 64, 3]`."""
        env = self._env
        env.reset(seed=seed)
        self.track = np.array([[x, y, beta] for _, beta, x, y in env.track])
        self._polygons = np.array([polygon for polygon, _ in env.road_poly])  # [P, 4, 2]
        self._centres = self._polygons.mean(axis=1)
        return self.render()

    def step(self, action: np.ndarray) -> np.ndarray:
        """Holds (steer, gas, brake) for one frame; returns the frame it led to."""
        action = np.asarray(action, dtype=np.float64)
        for _ in range(FRAME_SKIP):
            self._env.step(action)
        return self.render()

    # -- state, for drivers and judges; a model never sees it --------------------------------

    @property
    def position(self) -> np.ndarray:
        """World units `[2]`: x, y."""
        return np.array(self._env.car.hull.position)

    @property
    def angle(self) -> float:
        """Heading in radians, counter-clockwise; turning right makes it smaller."""
        return float(self._env.car.hull.angle)

    @property
    def speed(self) -> float:
        """World units per second along the heading."""
        vx, vy = self._env.car.hull.linearVelocity
        return float(-math.sin(self.angle) * vx + math.cos(self.angle) * vy)

    @property
    def inside(self) -> bool:
        """Whether the car is well inside the playfield."""
        return bool(np.abs(self.position).max() < PLAYFIELD - VIEW)

    # -- renderer ----------------------------------------------------------------------------

    def render(self) -> np.ndarray:
        """The present frame, uint8 `[64, 64, 3]`."""
        canvas, env = self._canvas, self._env
        canvas.fill(env.bg_color)
        self._draw_grass()
        offset = self._centres - self.position
        for index in np.flatnonzero((offset**2).sum(axis=1) < _REACH**2):
            self._fill(self._polygons[index], env.road_poly[index][1])
        self._draw_car()
        fine = pygame.surfarray.pixels3d(canvas).astype(np.uint16)  # [x, y, 3]
        fine = fine[0::3] + fine[1::3] + fine[2::3]
        fine = fine[:, 0::3] + fine[:, 1::3] + fine[:, 2::3]
        return np.ascontiguousarray(((fine + 4) // 9).astype(np.uint8).transpose(1, 0, 2))

    def _fill(self, corners: np.ndarray, colour) -> None:
        cos, sin = math.cos(self.angle), math.sin(self.angle)
        x, y = (corners - self.position).T
        right, ahead = cos * x + sin * y, cos * y - sin * x
        points = np.stack([_CANVAS / 2 + right * _SCALE, _CANVAS / 2 - ahead * _SCALE], axis=1)
        pygame.draw.polygon(self._canvas, colour, points.tolist())

    def _draw_grass(self) -> None:
        x0, y0 = self.position
        low = np.floor((np.array([x0, y0]) - _REACH) / GRASS_DIM).astype(int)
        high = np.ceil((np.array([x0, y0]) + _REACH) / GRASS_DIM).astype(int)
        square = np.array([[1, 0], [0, 0], [0, 1], [1, 1]], dtype=np.float64)
        for i in range(low[0], high[0] + 1):
            for j in range(low[1], high[1] + 1):
                if i % 2 == 0 and j % 2 == 0 and abs(i) <= 20 and abs(j) <= 20:
                    self._fill((square + np.array([i, j])) * GRASS_DIM, self._env.grass_color)

    def _draw_car(self) -> None:
        for part in self._env.car.drawlist:
            colour = [int(255 * c) for c in part.color]
            for fixture in part.fixtures:
                self._fill(self._corners(part, fixture.shape.vertices), colour)
            if "phase" in part.__dict__:
                stripe = _wheel_stripe(part.phase)
                if stripe is not None:
                    self._fill(self._corners(part, stripe), WHEEL_WHITE)

    @staticmethod
    def _corners(body, vertices) -> np.ndarray:
        return np.array([tuple(body.transform * v) for v in vertices])


def _wheel_stripe(phase: float) -> list[tuple[float, float]] | None:
    """The light patch that shows a wheel turning, as in gymnasium's `Car.draw`."""
    half_width, radius = 14 * 0.02, 27 * 0.02
    s1, s2 = math.sin(phase), math.sin(phase + 1.2)
    c1, c2 = math.cos(phase), math.cos(phase + 1.2)
    if s1 > 0 and s2 > 0:
        return None
    c1 = math.copysign(1.0, c1) if s1 > 0 else c1
    c2 = math.copysign(1.0, c2) if s2 > 0 else c2
    return [
        (-half_width, radius * c1),
        (half_width, radius * c1),
        (half_width, radius * c2),
        (-half_width, radius * c2),
    ]


def bend_ahead(world: World, near: int = 2, far: int = 8) -> float:
    """How much the track turns between `near` and `far` tiles ahead, in radians (absolute).

    A tile is 3.5 world units; the frame shows 21 units (6 tiles) ahead of the car.
    """
    index = nearest_tile(world)
    window = world.track[(index + np.arange(near, far + 1)) % len(world.track), 2]
    turns = np.diff(window)
    return float(np.abs((turns + np.pi) % (2 * np.pi) - np.pi).sum())


def nearest_tile(world: World) -> int:
    """Number of the track's tile that the car is nearest to."""
    return int(((world.track[:, :2] - world.position) ** 2).sum(axis=1).argmin())
