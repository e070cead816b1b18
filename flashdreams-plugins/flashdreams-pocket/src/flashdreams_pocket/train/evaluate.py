"""Stage 6: every figure a release is judged by, through the `Dreamer` protocol.

Seeds are in truth.py, fixed, and no training stage reads them.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from flashdreams_pocket.drivers import driver
from flashdreams_pocket.train import truth
from flashdreams_pocket.train.dream import (
    FAST_CONTEXT_NOISE,
    FAST_TIMESTEPS,
    FINE_CONTEXT_NOISE,
    FINE_TIMESTEPS,
    Dreamer,
    to_frames,
)
from flashdreams_pocket.train.measures import (
    bend_share,
    car_visible,
    kerb_share,
    psnr,
    road_overlap,
    road_share,
    sharpness,
)
from flashdreams_pocket.train.probe import Probe, load_probe
from flashdreams_pocket.train.train_autoencoder import to_pixels

MakeDreamer = Callable[..., Dreamer]
"""`make(timesteps=..., context_noise=...)`: a dreamer with this sampler."""

SAMPLERS = {
    "2 steps": {"timesteps": FAST_TIMESTEPS, "context_noise": FAST_CONTEXT_NOISE},
    "4 steps": {"timesteps": FINE_TIMESTEPS, "context_noise": FINE_CONTEXT_NOISE},
}

DREAM_FRAMES = 512


def autoencoder_figures(dreamer: Dreamer, clips: truth.Clips) -> dict[str, float]:
    """The ceiling: true frames encoded and decoded."""
    frames = clips.frames[:, ::3].reshape(-1, *clips.frames.shape[2:])
    parts = [dreamer.reconstruct(to_pixels(part)) for part in torch.from_numpy(frames).split(64)]
    return {"autoencoder_psnr": float(psnr(to_frames(torch.cat(parts)), frames).mean())}


def open_loop_figures(dreamer: Dreamer, clips: truth.Clips) -> dict[str, float]:
    """True actions for 16 frames after 8 true ones; beside it, a copy of the last true frame."""
    context, horizon = truth.CONTEXT, truth.HORIZON
    dreamer.start(clips.frames[:, :context], clips.actions[:, :context])
    dreamt = np.stack([dreamer.step(clips.actions[:, context + i]) for i in range(horizon)], axis=1)
    true, last = clips.frames[:, context:], clips.frames[:, context - 1 : context]
    quality, copy = psnr(dreamt, true), psnr(np.broadcast_to(last, true.shape), true)
    overlap = np.nanmean(road_overlap(dreamt, true), axis=0)
    copied = np.nanmean(road_overlap(np.broadcast_to(last, true.shape), true))
    out = {f"psnr_after_{n}": float(quality[:, n - 1].mean()) for n in (1, 4, 8, 16)}
    out |= {"psnr_mean": float(quality.mean()), "psnr_copy": float(copy.mean())}
    out["psnr_over_copy"] = out["psnr_mean"] - out["psnr_copy"]
    out |= {"iou_mean": float(overlap.mean()), "iou_16": float(overlap[-1]), "iou_copy": float(copied)}
    return out


def control_figures(dreamer: Dreamer, probe: Probe) -> dict[str, float]:
    """Held controls against the true world branched under the same controls."""
    clips, branches = truth.control_truth()
    yaw, speed, eye = {}, {}, {}
    for name, branch in branches.items():
        dreamer.start(clips.frames, clips.actions)
        held = np.broadcast_to(np.array(branch.action, np.float32), (len(clips.frames), 3))
        frames = [clips.frames[:, -1]] + [dreamer.step(held) for _ in range(truth.CONTROL_FRAMES)]
        read = probe.read(np.stack(frames, axis=1))
        yaw[name], speed[name] = read[..., 0], read[..., 1]
        real = np.concatenate([clips.frames[:, -1:], branch.frames], axis=1)
        eye[name] = probe.read(real)
    true_yaw = {name: branch.yaw for name, branch in branches.items()}
    true_speed = {name: branch.speed for name, branch in branches.items()}
    out: dict[str, float] = {
        "left_right_way": int((yaw["left"].mean(1) > 0.02).sum()),
        "right_right_way": int((yaw["right"].mean(1) < -0.02).sum()),
        "gas_over_brake": int((speed["gas"][:, -3:].mean(1) > speed["brake"][:, -3:].mean(1)).sum()),
        "of": len(clips.frames),
        "yaw_correlation": _correlation(yaw, true_yaw, ("left", "right", "straight")),
        "speed_correlation": _correlation(speed, true_speed, ("gas", "straight", "brake")),
    }
    for name in ("left", "right"):
        out |= {f"yaw_{name}": float(yaw[name].mean()), f"yaw_{name}_true": float(true_yaw[name].mean())}
    for name in ("gas", "straight", "brake"):
        dreamt, true = speed[name][:, -3:].mean(), true_speed[name][:, -3:].mean()
        out |= {f"speed_{name}": float(dreamt), f"speed_{name}_true": float(true)}
        out[f"speed_{name}_true_seen_by_probe"] = float(eye[name][:, -3:, 1].mean())
    seen_yaw, seen_speed = ({name: read[..., i] for name, read in eye.items()} for i in (0, 1))
    out["probe_yaw_correlation"] = _correlation(seen_yaw, true_yaw, ("left", "right", "straight"))
    out["probe_speed_correlation"] = _correlation(seen_speed, true_speed, ("gas", "straight", "brake"))
    return out


def _correlation(seen: dict, true: dict, names: tuple[str, ...]) -> float:
    pairs = [np.concatenate([values[name].ravel() for name in names]) for values in (seen, true)]
    return float(np.corrcoef(*pairs)[0, 1])


def dream(dreamer: Dreamer, frames: int, name: str = "steady", seed: int = 0) -> np.ndarray:
    """8 dreams driven by a policy that sees only them, uint8 `[8, frames, 64, 64, 3]`."""
    clips, policy = truth.dream_starts(), driver(name)
    dreamer.start(clips.frames, clips.actions, seed)
    seen, out = clips.frames[:, -1], []
    for _ in range(frames):
        seen = dreamer.step(np.array([policy(frame) for frame in seen], np.float32))
        out.append(seen)
    return np.stack(out, axis=1)


def drift_figures(dreamt: np.ndarray, true: np.ndarray, start: np.ndarray) -> dict[str, float]:
    """The last 64 frames against the start clips and the true drives, and what happened in between."""
    late = dreamt[:, -64:]
    colour = late.reshape(-1, 3).mean(axis=0) - true.reshape(-1, 3).mean(axis=0)
    return {
        "sharpness_change_from_start": sharpness(late) / sharpness(start) - 1,
        "road_share_change_from_start": road_share(late) / road_share(start) - 1,
        "sharpness_change": sharpness(late) / sharpness(true) - 1,
        "road_share_change": road_share(late) / road_share(true) - 1,
        "sharpness_change_all": sharpness(dreamt) / sharpness(true) - 1,
        "road_share_change_all": road_share(dreamt) / road_share(true) - 1,
        "rgb_change": float(np.abs(colour).max()),
        "car_visible": float(car_visible(dreamt).mean()),
        "roadless_frames": float((road_overlap(dreamt, dreamt) != 1).mean()),
        "bend_share": bend_share(dreamt[:, ::2]),
        "bend_share_true": bend_share(true[:, ::2]),
        "kerb_share": kerb_share(dreamt),
        "kerb_share_true": kerb_share(true),
    }


def evaluate(make: MakeDreamer, run: Path, frames: int = DREAM_FRAMES) -> dict[str, dict[str, float]]:
    """All figures, for every sampler."""
    clips, probe, true = truth.windows(), load_probe(run), truth.true_drives(frames)
    figures: dict[str, dict[str, float]] = {}
    for label, sampler in SAMPLERS.items():
        dreamer = make(**sampler)
        out = autoencoder_figures(dreamer, clips)
        out |= open_loop_figures(dreamer, clips) | control_figures(dreamer, probe)
        out |= drift_figures(dream(dreamer, frames), true, truth.dream_starts().frames)
        figures[label] = out
    return figures


def report(figures: dict[str, dict[str, float]]) -> str:
    """The figures as a markdown table, one column per number of steps."""
    columns = list(figures)
    lines = ["| figure | " + " | ".join(columns) + " |", "|---" * (len(columns) + 1) + "|"]
    for name in figures[columns[0]]:
        cells = (f"{figures[column][name]:.4g}" for column in columns)
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def write_report(make: MakeDreamer, run: Path, to: Path, frames: int = DREAM_FRAMES) -> None:
    """Evaluates, and writes `to`.json and `to`.md."""
    figures = evaluate(make, run, frames)
    to.with_suffix(".json").write_text(json.dumps(figures, indent=1))
    to.with_suffix(".md").write_text(report(figures))
    print(report(figures))
