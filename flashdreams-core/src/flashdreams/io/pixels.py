"""Pixels off the device: from [-1, 1] to bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flashdreams.errors import FieldValueError

if TYPE_CHECKING:
    from torch import Tensor

    from flashdreams.io.writer import Frames


def to_uint8(pixels: Tensor) -> Frames:
    """Pixels ``[B, 3, T, H, W]`` in [-1, 1] as uint8 ``[B, T, H, W, 3]`` on the host.

    A byte is ``(pixel + 1) * 127.5`` in float32, clamped to [0, 255] and rounded to the nearest whole
    number, halves to the even one. It undoes ``byte / 127.5 - 1`` exactly.
    """
    from flashdreams.core.kernels.pixels import pixels_to_bytes

    return pixels_to_bytes(pixels).cpu().numpy()


def side_by_side(frames: Frames) -> Frames:
    """The videos of a batch, ``[B, T, H, W, 3]``, as one, ``[T, H, B * W, 3]``: the first one left."""
    import numpy as np

    return np.concatenate(list(frames), axis=2)


def enlarge(frames: Frames, scale: int) -> Frames:
    """Frames ``[..., H, W, 3]`` with every pixel as a square of ``scale`` x ``scale``.

    Raises:
        FieldValueError: ``scale`` is below 1.
    """
    if scale < 1:
        raise FieldValueError(
            f"scale is {scale}.",
            "A frame is enlarged by a whole number, 1 or more.",
            "Set --scale to 1 to leave it as it is.",
        )
    return frames if scale == 1 else frames.repeat(scale, axis=-3).repeat(scale, axis=-2)
