"""Stage 1: drive in the true world and write down what was seen.

A shard is a folder of arrays, `[episodes, frames, ...]`:

    frames.npy   uint8   [E, T, 64, 64, 3]
    actions.npy  float32 [E, T, 3]   steer, gas, brake; action i led to frame i (the first is 0)
    states.npy   float32 [E, T, 4]   heading (rad), speed (units/s), bend ahead (rad), kerb pixels
"""

from __future__ import annotations

import shutil
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np

from flashdreams_pocket.train.drivers import draw_policy
from flashdreams_pocket.train.world import SIZE, World, bend_ahead

EPISODE_FRAMES = 512
SHARD_EPISODES = 12
TRAINING_SEEDS = 100_000  # episode e of the data drives seed TRAINING_SEEDS + e
EVALUATION_SEEDS = 7_000_000  # never trained on, see evaluate.py
START_SEEDS = 8_000_000  # start clips of the product, in neither


def kerb_pixels(frame: np.ndarray) -> int:
    """Pixels of a frame that are white or (away from the car) red."""
    red, green, blue = (frame[..., c].astype(np.int16) for c in range(3))
    white = (red > 190) & (green > 150) & (blue > 150)
    reddish = (red > 170) & (green < 90)
    reddish[26:39, 27:37] = False
    return int(white.sum() + reddish.sum())


def episode(seed: int, frames: int = EPISODE_FRAMES) -> dict[str, np.ndarray]:
    """Drives one seed with the policy drawn for it. A car that left the field starts anew."""
    rng = np.random.default_rng(seed)
    world = World()
    out = {
        "frames": np.empty((frames, SIZE, SIZE, 3), np.uint8),
        "actions": np.zeros((frames, 3), np.float32),
        "states": np.empty((frames, 4), np.float32),
    }
    _, policy = draw_policy(rng)
    frame, action = world.reset(seed), np.zeros(3)
    for index in range(frames):
        if index:
            action = policy(world, frame).astype(np.float32)
            frame = world.step(action)
        out["frames"][index] = frame
        out["actions"][index] = action
        out["states"][index] = (world.angle, world.speed, bend_ahead(world), kerb_pixels(frame))
        if not world.inside:
            return _shorten(out, index + 1)
    return out


def _shorten(out: dict[str, np.ndarray], length: int) -> dict[str, np.ndarray]:
    """Marks the frames after the car left the field: their heading is NaN."""
    out["frames"][length:] = out["frames"][length - 1]
    out["states"][length:] = np.nan
    return out


def write_shard(folder: Path, index: int, episodes: int = SHARD_EPISODES) -> Path:
    """Drives the episodes of one shard, unless it is there already; returns its folder."""
    target = folder / f"shard_{index:04d}"
    if target.exists():
        return target
    partial = folder / f".partial_{index:04d}"
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    first = TRAINING_SEEDS + index * episodes
    drives = [episode(first + e) for e in range(episodes)]
    for name in drives[0]:
        np.save(partial / f"{name}.npy", np.stack([drive[name] for drive in drives]))
    partial.rename(target)
    return target


def collect(folder: Path, shards: int, seconds: float, processes: int = 2) -> None:
    """Writes shards until there are `shards` of them or `seconds` have passed."""
    folder.mkdir(parents=True, exist_ok=True)
    begun = time.time()
    with ProcessPoolExecutor(processes) as pool:
        for index in range(0, shards, processes):
            if time.time() - begun > seconds:
                break
            batch = range(index, min(index + processes, shards))
            done = list(pool.map(write_shard, [folder] * len(batch), batch))
            print(f"{time.time() - begun:6.0f} s  {done[-1].name}", flush=True)


def shard_paths(folder: Path) -> list[Path]:
    """Finished shards in order."""
    return sorted(folder.glob("shard_*"))
