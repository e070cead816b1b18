from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest


@pytest.fixture
def moving_blocks() -> Callable[..., np.ndarray]:
    """Frames of coloured blocks that wander to the right, uint8 [T, H, W, 3]."""

    def make(count: int, height: int = 64, width: int = 64, seed: int = 0) -> np.ndarray:
        rng = np.random.default_rng(seed)
        small = rng.integers(0, 256, (-(-height // 8), -(-width // 8), 3), dtype=np.uint8)
        picture = small.repeat(8, 0).repeat(8, 1)[:height, :width]
        return np.stack([np.roll(picture, shift, axis=1) for shift in range(count)])

    return make


@pytest.fixture
def decode() -> Callable[[Path], np.ndarray]:
    """Every frame of a video file, uint8 [T, H, W, 3]."""

    def frames(path: Path) -> np.ndarray:
        with av.open(str(path)) as container:
            return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])

    return frames
