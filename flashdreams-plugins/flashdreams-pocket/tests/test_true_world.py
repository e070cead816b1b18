"""The true world and its data; these need gymnasium and Box2D, which the product does not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("Box2D")
pytest.importorskip("pygame")

from flashdreams_pocket.drivers import driver
from flashdreams_pocket.train import collect
from flashdreams_pocket.train.measures import car_visible, road_share
from flashdreams_pocket.train.world import World


def drive(seed: int, actions: np.ndarray) -> tuple[World, np.ndarray]:
    world = World()
    frames = [world.reset(seed)]
    return world, np.stack(frames + [world.step(action) for action in actions])


def test_positive_steer_turns_right() -> None:
    ahead = np.tile([0.0, 0.5, 0.0], (10, 1))
    right, _ = drive(1, np.concatenate([ahead, np.tile([0.5, 0.1, 0.0], (5, 1))]))
    straight, _ = drive(1, ahead)
    assert right.angle < straight.angle - 0.1  # counter-clockwise is positive


def test_a_seed_with_its_actions_is_the_same_drive() -> None:
    actions = np.random.default_rng(0).uniform([-1, 0, 0], [1, 1, 0.3], (15, 3))
    _, first = drive(2, actions)
    _, again = drive(2, actions)
    assert first.dtype == np.uint8
    assert first.shape == (16, 64, 64, 3)
    assert (first == again).all()


def test_the_steady_driver_stays_on_the_road() -> None:
    world, policy = World(), driver("steady")
    frame = world.reset(3)
    frames = []
    for _ in range(120):
        frame = world.step(np.array(policy(frame)))
        frames.append(frame)
    assert car_visible(np.stack(frames)).all()
    assert road_share(np.stack(frames)) > 0.2
    assert world.speed > 15


def test_shards_are_whole_and_seeded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collect, "episode", lambda seed: collect_episode(seed, frames=8))
    shard = collect.write_shard(tmp_path, 0, episodes=2)
    assert collect.shard_paths(tmp_path) == [shard]
    frames, actions = np.load(shard / "frames.npy"), np.load(shard / "actions.npy")
    assert frames.shape == (2, 8, 64, 64, 3)
    assert actions.shape == (2, 8, 3)
    assert (actions[:, 0] == 0).all()
    assert (frames[0] == collect_episode(collect.TRAINING_SEEDS, frames=8)["frames"]).all()


collect_episode = collect.episode
