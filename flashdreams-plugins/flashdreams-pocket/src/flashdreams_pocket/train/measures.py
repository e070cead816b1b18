"""What can be read off frames, real or dreamt, uint8 `[..., 64, 64, 3]`."""

from __future__ import annotations

import numpy as np

from flashdreams_pocket.drivers import centre_line, road_mask


def psnr(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Decibels of each frame."""
    error = ((a.astype(np.float64) - b) ** 2).mean(axis=(-3, -2, -1))
    return 10 * np.log10(255**2 / np.maximum(error, 1e-3))


def road_overlap(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Intersection over union of the asphalt of each pair of frames; NaN where there is none."""
    first, second = road_mask(a), road_mask(b)
    union = (first | second).sum(axis=(-2, -1))
    both = (first & second).sum(axis=(-2, -1))
    return np.where(union < 40, np.nan, both / np.maximum(union, 1))


def sharpness(frames: np.ndarray) -> float:
    """Mean absolute difference of neighbouring pixels, in levels of 255."""
    grey = frames.astype(np.float64).mean(axis=-1)
    return float(np.abs(np.diff(grey, axis=-1)).mean() + np.abs(np.diff(grey, axis=-2)).mean())


def road_share(frames: np.ndarray) -> float:
    """Mean share of pixels that are asphalt."""
    return float(road_mask(frames).mean())


def kerb_share(frames: np.ndarray) -> float:
    """Mean share of pixels that are kerb: white, or red away from the car."""
    red, green, blue = (frames[..., c].astype(int) for c in range(3))
    kerb = (red > 190) & (green > 150) & (blue > 150) | (red > 170) & (green < 90)
    kerb[..., 26:39, 27:37] = False
    return float(kerb.mean())


def car_visible(frames: np.ndarray) -> np.ndarray:
    """Whether each frame has the red car in its centre."""
    middle = frames[..., 26:39, 27:37, :].astype(int)
    return ((middle[..., 0] > 110) & (middle[..., 1] < 80) & (middle[..., 2] < 80)).sum((-2, -1)) >= 6


def bend_in_sight(frame: np.ndarray) -> bool:
    """Whether the road ahead moves sideways by 12 pixels, or leaves the frame at the side."""
    line = centre_line(frame)
    if len(line) < 5:
        return False
    return bool(abs(line[-1, 0] - line[0, 0]) > 12 or line[-1, 1] < 20)


def bend_share(frames: np.ndarray) -> float:
    """Share of frames with a bend in sight."""
    flat = frames.reshape(-1, *frames.shape[-3:])
    return float(np.mean([bend_in_sight(frame) for frame in flat]))
