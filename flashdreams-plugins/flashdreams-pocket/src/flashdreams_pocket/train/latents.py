"""Stage 3: frames to latents, once, and the sampler of training sequences."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from flashdreams_pocket.autoencoder import FrameEncoder
from flashdreams_pocket.train.collect import shard_paths
from flashdreams_pocket.train.parallel import launch, load_checkpoint
from flashdreams_pocket.train.train_autoencoder import to_pixels

BEND = 0.4  # radians of turn in sight that count as a bend


def part_of(state: dict[str, Tensor], name: str) -> dict[str, Tensor]:
    """The entries under `name.`, without it."""
    return {k.removeprefix(f"{name}."): v for k, v in state.items() if k.startswith(f"{name}.")}


def _encode(rank: int, run: Path, processes: int) -> None:
    encoder = FrameEncoder().to(memory_format=torch.channels_last)
    encoder.load_state_dict(part_of(load_checkpoint(run / "autoencoder.pt")["average"], "encoder"))
    (run / "latents").mkdir(exist_ok=True)
    for shard in shard_paths(run / "data")[rank::processes]:
        target = run / "latents" / f"{shard.name}.npy"
        if target.exists():
            continue
        frames = np.load(shard / "frames.npy", mmap_mode="r")
        flat = frames.reshape(-1, *frames.shape[2:])
        parts = []
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
            for begin in range(0, len(flat), 64):
                pixels = to_pixels(torch.from_numpy(flat[begin : begin + 64].copy()))
                parts.append(encoder(pixels).float().half())
        latents = torch.cat(parts).numpy().reshape(*frames.shape[:2], *parts[0].shape[1:])
        partial = target.with_suffix(".partial.npy")
        np.save(partial, latents)
        os.replace(partial, target)
        if rank == 0:
            print(target.name, flush=True)


def encode(run: Path, processes: int = 2) -> None:
    """Writes `latents/<shard>.npy`, float16 `[E, T, 8, 8, 8]`."""
    launch(_encode, processes, run, processes)


class Sequences:
    """Random runs of consecutive frames from the data; the last shard is held out to judge.

    Runs with a bend in sight are drawn more often: `1 + bend_weight * (share of such frames)`.
    """

    def __init__(self, run: Path, frames: int, rng: np.random.Generator, bend_weight: float = 4.0) -> None:
        self.frames, self.rng = frames, rng
        shards = shard_paths(run / "data")
        self.latents = [np.load(run / "latents" / f"{s.name}.npy", mmap_mode="r") for s in shards]
        self.actions = [np.load(s / "actions.npy") for s in shards]
        states = [np.load(s / "states.npy") for s in shards]
        windows = [self._weights(state, bend_weight) for state in states]
        self.held_out = windows.pop()
        self.size = windows[0].shape[1]
        self.cumulative = np.cumsum(np.concatenate([w.ravel() for w in windows]))
        self.ends = np.cumsum([w.size for w in windows])

    def _weights(self, states: np.ndarray, bend_weight: float) -> np.ndarray:
        """`[E, starts]` sampling weights; a run starts after its previous frame."""
        length = self.frames + 1
        bends = np.cumsum(np.pad(states[..., 2] > BEND, ((0, 0), (1, 0))), axis=1)
        share = (bends[:, length:] - bends[:, :-length]) / length
        whole = ~np.isnan(states[:, length - 1 :, 0])
        return (1 + bend_weight * share) * whole

    def batch(self, count: int) -> tuple[Tensor, Tensor]:
        """Latents `[B, C, 1 + T, 8, 8]` (one frame before the run) and actions `[B, T, 3]`."""
        draws = np.searchsorted(self.cumulative, self.rng.random(count) * self.cumulative[-1])
        shards = np.searchsorted(self.ends, draws, side="right")
        begins = draws - np.concatenate([[0], self.ends])[shards]
        return self._gather([(s, *divmod(b, self.size)) for s, b in zip(shards, begins, strict=True)])

    def judge(self, count: int) -> tuple[Tensor, Tensor]:
        """The same held-out runs every time."""
        chosen = np.flatnonzero(self.held_out.ravel())
        chosen = chosen[np.linspace(0, len(chosen) - 1, count).astype(int)]
        return self._gather([(-1, *divmod(c, self.size)) for c in chosen])

    def _gather(self, places: list[tuple[int, int, int]]) -> tuple[Tensor, Tensor]:
        latents = np.stack([self.latents[s][e, b : b + self.frames + 1] for s, e, b in places])
        actions = np.stack([self.actions[s][e, b + 1 : b + self.frames + 1] for s, e, b in places])
        return torch.from_numpy(latents).float().transpose(1, 2), torch.from_numpy(actions)
