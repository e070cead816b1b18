"""A watch over videos: says when one has gone flat, stands still, or is no picture any more."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

if TYPE_CHECKING:
    from torch import Tensor

    from flashdreams.infra.pipeline.rollout import Rollout

LOG = logging.getLogger(__name__)

LAST_CHUNKS = 4
"""Chunks at the end of a video that are judged."""
FLAT = 0.01
"""Contrast (standard deviation of pixels in [-1, 1]) below which a picture is one colour."""
STILL = 1e-4
"""Mean change from one chunk to the next, in pixels within [-1, 1], below which nothing moves."""


@dataclass
class Measures:
    """What is known of one video, by chunk; tensors stay on the device until somebody asks."""

    contrast: dict[int, Tensor] = field(default_factory=dict)
    change: dict[int, Tensor] = field(default_factory=dict)
    frames: dict[int, Tensor] = field(default_factory=dict)
    """Last frames of the chunk that is measured and of the one before."""


class Watch:
    """Measures the chunks of every rollout. A rollout that is dropped takes its measures with it."""

    def __init__(self) -> None:
        self._measures: WeakKeyDictionary[Rollout, Measures] = WeakKeyDictionary()

    def measure(self, rollout: Rollout, index: int, chunk: Tensor) -> None:
        """Take the measures of chunk ``index``, pixels ``[B, 3, T, H, W]``; again where it is made again."""
        measures = self._measures.setdefault(rollout, Measures())
        frame = chunk[:, :, -1].float()
        measures.frames[index] = frame
        measures.contrast[index] = frame.std()
        if index - 1 in measures.frames:
            measures.change[index] = (frame - measures.frames[index - 1]).abs().mean()
        for table, kept in (
            (measures.frames, 2),
            (measures.contrast, LAST_CHUNKS),
            (measures.change, LAST_CHUNKS),
        ):
            table.pop(index - kept, None)

    def report(self, rollout: Rollout) -> None:
        """Log a warning where the end of the video is none, and forget the rollout."""
        measures = self._measures.pop(rollout, Measures())
        if verdict := judged(measures):
            chunks = f"last {len(measures.contrast)} of {max(measures.contrast) + 1} chunks"
            LOG.warning("The video (seed %d) %s in its %s.", rollout.seed, verdict, chunks)


def judged(measures: Measures) -> str:
    """What is wrong with the chunks that were measured last; nothing where they are a video."""
    contrast = [float(value) for value in measures.contrast.values()]
    change = [float(value) for value in measures.change.values()]
    if not all(value == value for value in contrast):
        return "has pixels that are no numbers"
    if contrast and max(contrast) < FLAT:
        return f"is of one colour (contrast {max(contrast):.1g})"
    if len(change) == LAST_CHUNKS and max(change) < STILL:
        return f"stands still (change {max(change):.1g})"
    return ""
