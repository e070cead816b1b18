"""Stage 5: checkpoints to the two files that ship with the package."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

from flashdreams_pocket.drivers import centre_line, driver
from flashdreams_pocket.network import RacerDiT
from flashdreams_pocket.train.collect import START_SEEDS, kerb_pixels
from flashdreams_pocket.train.parallel import load_checkpoint
from flashdreams_pocket.train.quantise import pack
from flashdreams_pocket.train.train_autoencoder import Autoencoder
from flashdreams_pocket.train.world import World

START_FRAMES = 12
LIMIT = 8_000_000  # bytes of weights in the wheel


def export(run: Path, folder: Path) -> None:
    """Writes `pocket_racer.safetensors` and `starts.npz`; untrained where a stage is missing."""
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    autoencoder, dit = Autoencoder().state_dict(), RacerDiT().state_dict()
    summary: dict[str, float] = {}
    if saved := load_checkpoint(run / "autoencoder.pt"):
        autoencoder = saved["average"]
        summary |= {"autoencoder_steps": saved["step"], "autoencoder_seconds": round(saved["spent"])}
    if saved := load_checkpoint(run / "world_model.pt"):
        dit = saved["average"]
        summary |= {"world_model_steps": saved["step"], "world_model_seconds": round(saved["spent"])}
    state = autoencoder | {f"dit.{k}": v for k, v in dit.items()}
    path = folder / "pocket_racer.safetensors"
    metadata = {"format": "pt", "model": "pocket-racer", "training": json.dumps(summary)}
    save_file({k: v.contiguous() for k, v in pack(state).items()}, path, metadata=metadata)
    if path.stat().st_size > LIMIT:
        raise RuntimeError(f"{path} has {path.stat().st_size} bytes, more than {LIMIT}")
    starts = folder / "starts.npz"
    if not starts.exists():
        np.savez_compressed(starts, **start_clips())
    print(f"{path}: {path.stat().st_size / 1e6:.2f} MB, {summary}")


def start_clips() -> dict[str, np.ndarray]:
    """`<name>.frames` uint8 `[12, 64, 64, 3]` and `<name>.controls` float32 `[12, 3]`."""
    wanted = {
        "straight": lambda bend, kerbs, now: abs(bend) < 0.5 and kerbs == 0,
        "left-bend": lambda bend, kerbs, now: -20 < bend < -9 and abs(now) < 2,
        "right-bend": lambda bend, kerbs, now: 9 < bend < 20 and abs(now) < 2,
        "left-kerb": lambda bend, kerbs, now: kerbs > 45 and bend < -4,
        "right-kerb": lambda bend, kerbs, now: kerbs > 45 and bend > 4,
        "hairpin": lambda bend, kerbs, now: kerbs > 60 and abs(now) > 3,
        "fast": lambda bend, kerbs, now: abs(bend) < 3 and kerbs == 0,
    }
    out: dict[str, np.ndarray] = {}
    for offset, (name, suits) in enumerate(wanted.items()):
        frames, controls = _find(START_SEEDS + 10 * offset, suits, "fast" if name == "fast" else "steady")
        out[f"{name}.frames"], out[f"{name}.controls"] = frames, controls
    frames, controls = _grid(START_SEEDS + 900)
    out["grid.frames"], out["grid.controls"] = frames, controls
    return out


def _find(seed: int, suits, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Drives seeds until the last frame of a clip suits."""
    policy = driver(name)
    while True:
        world = World()
        frame = world.reset(seed)
        frames, controls = [frame], [np.zeros(3, np.float32)]
        for index in range(400):
            controls.append(np.array(policy(frame), np.float32))
            frames.append(frame := world.step(controls[-1]))
            line = centre_line(frame)
            if index < 60 or len(line) < 8:
                continue
            bend, now = line[-1, 0] - line[0, 0], line[7, 0] - line[0, 0]
            if suits(bend, kerb_pixels(frame), now):
                return np.stack(frames[-START_FRAMES:]), np.stack(controls[-START_FRAMES:])
        seed += 1


def _grid(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """A car that stands on the starting line."""
    world = World()
    world.reset(seed)
    controls = np.zeros((START_FRAMES, 3), np.float32)
    return np.stack([world.step(control) for control in controls]), controls
