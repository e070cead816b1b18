"""Contact sheets: the dreams, to look at."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from flashdreams_pocket.train import truth
from flashdreams_pocket.train.dream import Dreamer
from flashdreams_pocket.train.evaluate import dream

ENLARGE = 2


def save(path: Path, rows: list[np.ndarray]) -> None:
    """Rows of frames uint8 `[T, 64, 64, 3]`, one below the other."""
    padded = [np.pad(row, ((0, 0), (1, 1), (1, 1), (0, 0))) for row in rows]
    sheet = np.concatenate([np.concatenate(list(row), axis=1) for row in padded], axis=0)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(sheet.repeat(ENLARGE, 0).repeat(ENLARGE, 1)).save(path)


def against_truth(dreamer: Dreamer, path: Path) -> None:
    """Pairs of rows: the true world, and the dream under the same actions (every 2nd frame)."""
    clips = truth.windows()
    context = truth.CONTEXT
    dreamer.start(clips.frames[:, :context], clips.actions[:, :context])
    steps = range(context, context + truth.HORIZON)
    dreamt = np.stack([dreamer.step(clips.actions[:, i]) for i in steps], axis=1)
    rows = []
    for index in range(0, 48, 8):
        rows += [clips.frames[index, context + 1 :: 2], dreamt[index, 1::2]]
    save(path, rows)


def left_or_right(dreamer: Dreamer, path: Path) -> None:
    """From two starts: left in truth and dream, right in truth and dream."""
    clips, branches = truth.control_truth()
    rows = []
    for name in ("left", "right"):
        dreamer.start(clips.frames, clips.actions)
        held = np.broadcast_to(np.array(branches[name].action, np.float32), (len(clips.frames), 3))
        dreamt = np.stack([dreamer.step(held) for _ in range(truth.CONTROL_FRAMES)], axis=1)
        for index in (0, 5):
            rows += [branches[name].frames[index], dreamt[index]]
    save(path, rows)


def long_dream(dreamer: Dreamer, path: Path, frames: int = 1000, name: str = "steady") -> None:
    """Two dreams, every 25th frame, 20 in a row."""
    every = dream(dreamer, frames, name)[:2, ::25]
    save(path, [row for one in every for row in np.split(one, range(20, len(one), 20))])


def sheets(dreamer: Dreamer, folder: Path, frames: int = 1000) -> None:
    """All three sheets."""
    against_truth(dreamer, folder / "against-truth.png")
    left_or_right(dreamer, folder / "left-or-right.png")
    long_dream(dreamer, folder / "long-dream.png", frames)
