"""What the dreams are judged by: drives of held-out seeds in the true world, and its branches."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from flashdreams_pocket.drivers import centre_line, driver
from flashdreams_pocket.train.collect import EVALUATION_SEEDS, episode
from flashdreams_pocket.train.world import World

CONTEXT, HORIZON = 8, 16  # frames of an open-loop window
WINDOWS = 48
CONTROL_SEEDS = [EVALUATION_SEEDS + 100 + i for i in range(16)]
DREAM_SEEDS = [EVALUATION_SEEDS + 200 + i for i in range(8)]
CONTROL_FRAMES = 8


@dataclass
class Clips:
    """Frames uint8 `[N, T, 64, 64, 3]` and the actions `[N, T, 3]` that led to them."""

    frames: np.ndarray
    actions: np.ndarray


@dataclass
class Branch:
    """One action held for `CONTROL_FRAMES` frames after each of N true starts."""

    action: tuple[float, float, float]
    frames: np.ndarray  # [N, CONTROL_FRAMES, 64, 64, 3], true
    yaw: np.ndarray  # [N, CONTROL_FRAMES] radians per frame, counter-clockwise positive, true
    speed: np.ndarray  # [N, CONTROL_FRAMES] world units per second, true


def windows() -> Clips:
    """48 windows of 8 + 16 frames of a moving car, at most two of a seed, driven as the data was."""
    frames: list[np.ndarray] = []
    actions: list[np.ndarray] = []
    seed = EVALUATION_SEEDS
    while len(frames) < WINDOWS:
        drive = episode(seed, 300)
        seed += 1
        for earliest in (60, 180):
            begin = _moving(drive["states"][:, 1], earliest)
            if begin is not None and len(frames) < WINDOWS:
                part = slice(begin, begin + CONTEXT + HORIZON)
                frames.append(drive["frames"][part])
                actions.append(drive["actions"][part])
    return Clips(np.stack(frames), np.stack(actions))


def _moving(speed: np.ndarray, earliest: int) -> int | None:
    """First window from `earliest` on whose car never goes slower than 12 units/s."""
    for begin in range(earliest, min(earliest + 90, len(speed) - CONTEXT - HORIZON)):
        if (speed[begin : begin + CONTEXT + HORIZON] > 12.0).all():  # False where NaN
            return begin
    return None


ACTIONS = {
    "left": (-0.8, 0.1, 0.0),
    "right": (0.8, 0.1, 0.0),
    "straight": (0.0, 0.1, 0.0),
    "gas": (0.0, 1.0, 0.0),
    "brake": (0.0, 0.0, 0.2),
}


def control_truth() -> tuple[Clips, dict[str, Branch]]:
    """16 starts on a straight, and what the true world shows under each of `ACTIONS`."""
    policy = driver("steady")
    clips, branches = [], {name: [] for name in ACTIONS}
    for seed in CONTROL_SEEDS:
        frames, actions = _drive_to_straight(seed, policy)
        clips.append((frames[-CONTEXT:], actions[-CONTEXT:]))
        for name, action in ACTIONS.items():
            branches[name].append(_branch(seed, actions, action))
    out = {}
    for name, parts in branches.items():
        out[name] = Branch(ACTIONS[name], *(np.stack(column) for column in zip(*parts, strict=True)))
    return Clips(*(np.stack(column) for column in zip(*clips, strict=True))), out


def _drive_to_straight(seed: int, policy) -> tuple[np.ndarray, np.ndarray]:
    world = World()
    frames, actions = [world.reset(seed)], [np.zeros(3, np.float32)]
    while True:
        actions.append(np.array(policy(frames[-1]), np.float32))
        frames.append(world.step(actions[-1]))
        line = centre_line(frames[-1])
        straight = len(line) > 24 and np.abs(line[:, 0]).max() < 5
        if (len(frames) >= 80 and straight) or len(frames) > 400:
            return np.stack(frames), np.stack(actions)


def _branch(seed: int, actions: np.ndarray, action) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The true world again, bit for bit, then `action` instead of what was done."""
    world = World()
    world.reset(seed)
    for past in actions[1:]:
        world.step(past)
    frames, yaw, speed, angle = [], [], [], world.angle
    for _ in range(CONTROL_FRAMES):
        frames.append(world.step(np.array(action, np.float32)))
        yaw.append(world.angle - angle)
        speed.append(world.speed)
        angle = world.angle
    return np.stack(frames), np.array(yaw), np.array(speed)


def dream_starts() -> Clips:
    """8 clips of 12 frames to dream on from."""
    frames, actions = zip(*(_steady(seed, 100) for seed in DREAM_SEEDS), strict=True)
    return Clips(np.stack(frames)[:, -12:], np.stack(actions)[:, -12:])


def true_drives(length: int, name: str = "steady") -> np.ndarray:
    """The same driver in the true world, from the same starts: uint8 `[8, length, 64, 64, 3]`."""
    return np.stack([_steady(seed, 100 + length, name)[0][100:] for seed in DREAM_SEEDS])


def _steady(seed: int, length: int, name: str = "steady") -> tuple[np.ndarray, np.ndarray]:
    world, policy = World(), driver(name)
    frames, actions = [world.reset(seed)], [np.zeros(3, np.float32)]
    while len(frames) < length:
        actions.append(np.array(policy(frames[-1]), np.float32))
        frames.append(world.step(actions[-1]))
    return np.stack(frames), np.stack(actions)
