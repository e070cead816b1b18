"""Animated GIF, frame by frame: Pillow compresses each, this file puts the format around it.

Pillow and imageio both collect the frames of an animation before they write any; here none is kept.
Format: CompuServe, GIF89a Specification (1990).
"""

from __future__ import annotations

import struct
from contextlib import suppress
from pathlib import Path

from flashdreams.io.writer import Frames, VideoWriter, open_fresh, write_all

SHORTEST_DELAY = 2  # hundredths of a second; browsers slow anything shorter down to ten
_LOOP_FOR_EVER = b"!\xff\x0bNETSCAPE2.0\x03\x01\x00\x00\x00"
_TRAILER = b";"


class GifWriter(VideoWriter):
    """256 colours a frame, each frame with a palette of its own; loops for ever.

    GIF counts in hundredths of a second: delays are rounded so that the sum stays right, and above 50
    frames per second the animation is slower than asked for.
    """

    def __init__(self, path: Path, *, fps: float, height: int, width: int, overwrite: bool = False) -> None:
        super().__init__(path, fps=fps, height=height, width=width)
        self._file = open_fresh(path, overwrite)
        self._size = 0
        self._append(b"GIF89a" + struct.pack("<HHBBB", width, height, 0, 0, 0) + _LOOP_FOR_EVER)

    def _write_frame(self, frame: Frames) -> None:
        from PIL import GifImagePlugin, Image

        image = Image.fromarray(frame).quantize(256)
        blocks = GifImagePlugin.getdata(image, duration=10 * self._delay(), include_color_table=True)
        self._append(b"".join(blocks))

    def _delay(self) -> int:
        begin, end = (round(100 * count / self.fps) for count in (self.frames, self.frames + 1))
        return max(SHORTEST_DELAY, end - begin)

    def _append(self, block: bytes) -> None:
        write_all(self._file, block)
        self._size += len(block)

    def _finish(self) -> None:
        with self._file:
            with suppress(OSError):  # a device has no length to cut
                self._file.truncate(self._size)
                self._file.seek(self._size)
            self._append(_TRAILER)
