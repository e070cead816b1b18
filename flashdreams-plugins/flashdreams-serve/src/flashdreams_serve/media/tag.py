"""The tag: a frame's number in its own pixels, in a strip below the picture that survives video codecs."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from flashdreams.errors import FieldValueError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from flashdreams.io.writer import Frames

SQUARES = 32
"""Squares of a strip, one bit each; a picture that is not as wide in pixels cannot carry one."""
NUMBERS = 1 << 24
"""Numbers that can be told apart: a greater one is carried modulo this."""
_WHITE_FROM = 128


def strip_height(width: int) -> int:
    """Rows of the strip below a picture so many pixels wide: 1/32 of it, rounded up to an even number."""
    rows = -(-width // SQUARES)
    return rows + rows % 2


def tagged(pixels: Frames, number: int) -> Frames:
    """A frame with its number in a strip below it.

    Args:
        pixels: uint8 ``[H, W, 3]``.
        number: Of the frame, from 0; its lower 24 bits are carried.

    Returns:
        uint8 ``[H + strip_height(W), W, 3]``, a copy.

    Raises:
        FieldValueError: The frame is less than 32 pixels wide.
    """
    import numpy as np

    width = pixels.shape[1]
    if width < SQUARES:
        raise FieldValueError(
            f"A frame {width} pixels wide was to carry a tag.",
            f"A tag has {SQUARES} squares side by side, so the frame is at least {SQUARES} pixels wide.",
            "Ask for frames without a tag.",
        )
    bits = np.unpackbits(np.frombuffer(_coded(number % NUMBERS), np.uint8))
    row = (bits[np.arange(width) * SQUARES // width] * 255).astype(np.uint8)
    strip = np.broadcast_to(row[None, :, None], (strip_height(width), width, 3))
    return np.concatenate([pixels, strip], axis=0)


def read_tag(pixels: Frames) -> int | None:
    """The number that a frame carries, modulo 2^24; None where there is none that can be read.

    Args:
        pixels: uint8 ``[H, W, 3]``, the strip at the bottom included, as :func:`tagged` gave it or a codec
            made of that.
    """
    import numpy as np

    height, width, _ = pixels.shape
    rows = strip_height(width)
    if width < SQUARES or height < rows:
        return None
    middle = _middle(rows)
    columns = pixels[height - rows :][middle].mean(axis=(0, 2))
    code = np.packbits(_squares(columns) >= _WHITE_FROM).tobytes()
    number = int.from_bytes(code[:3], "big")
    return number if code == _coded(number) else None


def _coded(number: int) -> bytes:
    """Three bytes of the number and one of its checksum."""
    digits = number.to_bytes(3, "big")
    return digits + bytes([~sum(digits) & 0xFF])


def _squares(columns: NDArray[np.floating]) -> NDArray[np.floating]:
    """Brightness of each square, of the columns in its middle."""
    import numpy as np

    edges = -(-np.arange(SQUARES + 1) * len(columns) // SQUARES)
    return np.array([columns[a:b][_middle(int(b - a))].mean() for a, b in pairwise(edges)])


def _middle(size: int) -> slice:
    """The middle half of so many pixels: a codec smears the edges."""
    return slice(size // 4, size - size // 4)
