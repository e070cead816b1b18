"""``flashdreams contact-sheet SLUG``: a video on one page."""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import imageio.v3 as imageio
import numpy as np

from flashdreams.errors import UsageError
from flashdreams.infra.config import derive_config
from flashdreams.infra.runner.base import Runner
from flashdreams.io.video import to_uint8
from flashdreams.plugins.registry import installed_registry

Picture = np.ndarray[Any, np.dtype[np.uint8]]
GAP = 2  # pixels between frames


def main(argv: list[str]) -> int:
    """Make the video and write its sheet.

    Raises:
        FlashDreamsError: Something that the user can put right.
    """
    line = _parser().parse_args(argv)
    if line.chunks < 1 or line.output.suffix != ".png":
        raise UsageError(
            f"--chunks is {line.chunks} and --output is {line.output}.",
            "A sheet shows at least one chunk, and is a .png file.",
            "Write, for instance: flashdreams contact-sheet pocket-racer --chunks 24 --output racer.png",
        )
    config = derive_config(installed_registry().runner_config(line.slug), seed=line.seed)
    imageio.imwrite(line.output, sheet(list(last_frames(config.setup(), line.chunks))))
    print(f"{line.chunks} chunks of {line.slug} in {line.output}")
    return 0


def last_frames(runner: Runner, chunks: int) -> Iterator[Picture]:
    """The last frame of each chunk of the first video of a batch, uint8 ``[H, W, 3]``."""
    pipeline, chunk = runner.pipeline, None
    with runner.begin_rollout() as rollout:
        for index in range(chunks):
            chunk = pipeline.generate(index, rollout, input=runner.control(index, chunk))
            yield to_uint8(chunk)[0, -1]
            pipeline.finalize(index, rollout)


def sheet(frames: Sequence[Picture]) -> Picture:
    """Frames ``[H, W, 3]`` row by row on one dark page, about as wide as it is high."""
    height, width, _ = frames[0].shape
    columns = math.ceil(math.sqrt(len(frames)))
    rows = math.ceil(len(frames) / columns)
    page = np.full((rows * (height + GAP) - GAP, columns * (width + GAP) - GAP, 3), 16, dtype=np.uint8)
    for place, frame in enumerate(frames):
        top, left = (place // columns) * (height + GAP), (place % columns) * (width + GAP)
        page[top : top + height, left : left + width] = frame
    return page


def _parser() -> argparse.ArgumentParser:
    summary = "One picture of a whole video: the last frame of each chunk."
    parser = argparse.ArgumentParser(prog="flashdreams contact-sheet", description=summary)
    parser.add_argument("slug", metavar="SLUG", help="what to run")
    parser.add_argument("--chunks", type=int, default=16, help="how many chunks (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the noise (default: %(default)s)")
    parser.add_argument("--output", type=Path, default=Path("sheet.png"), help="default: %(default)s")
    return parser
