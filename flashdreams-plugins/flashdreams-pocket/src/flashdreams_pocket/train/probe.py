"""A judge's eye: how far the car turned and how fast it goes, seen from two successive frames.

Dreams carry no state, so yaw and speed are read off their pixels by a small network that was
trained on true frames. It is no part of the product.
"""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from flashdreams_pocket.train.collect import shard_paths
from flashdreams_pocket.train.parallel import load_checkpoint, log, save_checkpoint
from flashdreams_pocket.train.train_autoencoder import to_pixels

YAW_SCALE, SPEED_SCALE = 0.1, 40.0  # rad per frame, world units per second


class Probe(nn.Module):
    """Pixel pairs `[N, 6, 64, 64]` to (yaw / YAW_SCALE, speed / SPEED_SCALE), `[N, 2]`."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.PixelUnshuffle(2),
            nn.Conv2d(24, 48, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(48, 64, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(64, 96, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(96, 96, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(96 * 16, 128),
            nn.ReLU(),
            nn.Linear(128, 2),
        )

    def forward(self, pairs: Tensor) -> Tensor:
        """Scaled yaw and speed."""
        return self.layers(pairs)

    @torch.no_grad()
    def read(self, frames: np.ndarray) -> np.ndarray:
        """Frames uint8 `[B, T, 64, 64, 3]` to yaw (rad per frame) and speed, `[B, T - 1, 2]`."""
        batch, length = frames.shape[:2]
        pixels = to_pixels(torch.from_numpy(frames.reshape(-1, *frames.shape[2:]).copy()))
        pixels = pixels.unflatten(0, (batch, length))
        pairs = torch.cat([pixels[:, :-1], pixels[:, 1:]], dim=2).flatten(0, 1)
        out = torch.cat([self(part) for part in pairs.split(64)])
        scaled = out * torch.tensor([YAW_SCALE, SPEED_SCALE])
        return scaled.unflatten(0, (batch, length - 1)).numpy()


def train_probe(run: Path, seconds: float, seed: int = 3, batch: int = 64) -> None:
    """Writes `probe.pt`."""
    torch.manual_seed(seed)
    torch.set_num_threads(1)
    rng = np.random.default_rng(seed)
    shards = shard_paths(run / "data")[:-1]
    frames = [np.load(s / "frames.npy", mmap_mode="r") for s in shards]
    states = [np.load(s / "states.npy") for s in shards]
    probe = Probe().to(memory_format=torch.channels_last)
    optimiser = torch.optim.AdamW(probe.parameters(), 1.5e-3)
    begun, step, running = time.time(), 0, 0.0
    while (progress := (time.time() - begun) / seconds) < 1:
        for group in optimiser.param_groups:
            group["lr"] = 1.5e-3 * min(1.0, 2 * (1 - progress))
        pairs, targets = [], []
        while len(pairs) < batch:
            s, e, t = rng.integers(len(shards)), rng.integers(len(frames[0])), rng.integers(1, 512)
            before, now = states[s][e, t - 1], states[s][e, t]
            if np.isnan(now[0]):
                continue
            pair = np.concatenate([frames[s][e, t - 1], frames[s][e, t]], axis=-1)
            turned = now[0] - before[0]
            mirrored = rng.random() < 0.5
            pairs.append(pair[:, ::-1] if mirrored else pair)
            targets.append((-turned if mirrored else turned, now[1]))
        scale = torch.tensor([YAW_SCALE, SPEED_SCALE])
        with torch.autocast("cpu", torch.bfloat16):
            out = probe(to_pixels(torch.from_numpy(np.stack(pairs))))
        loss = F.smooth_l1_loss(out.float(), torch.tensor(targets, dtype=torch.float32) / scale)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        step += 1
        running += (loss.item() - running) / min(step, 50)
        if step % 200 == 0:
            log(run / "probe.jsonl", step=step, spent=time.time() - begun, loss=running)
    save_checkpoint(run / "probe.pt", {"probe": probe.state_dict()})


def load_probe(run: Path) -> Probe:
    """The trained probe of a run."""
    saved = load_checkpoint(run / "probe.pt")
    if saved is None:
        raise FileNotFoundError(f"{run / 'probe.pt'} is missing: run the stage `probe` first")
    probe = Probe()
    probe.load_state_dict(saved["probe"])
    return probe.eval()
