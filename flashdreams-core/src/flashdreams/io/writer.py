"""What every writer of frames or latents is: opened, written to chunk by chunk, closed."""

from __future__ import annotations

from abc import ABC, abstractmethod
from io import FileIO
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeAlias

from flashdreams.errors import FieldValueError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Array: TypeAlias = "NDArray[Any]"
Frames: TypeAlias = "NDArray[np.uint8]"
"""Pixels on the host, uint8 ``[T, H, W, 3]`` unless another shape is stated."""

SLOWEST, FASTEST = 0.1, 1000.0  # frames per second that every kind of file can say


def check_fps(fps: float) -> None:
    """Refuse a frame rate that no file could be played at.

    Raises:
        FieldValueError: It is not from 0.1 to 1000 frames per second.
    """
    if not SLOWEST <= fps <= FASTEST:
        raise FieldValueError(
            f"fps is {fps:g}.",
            f"A video shows {SLOWEST:g} to {FASTEST:g} pixel frames per second.",
            "Set --fps to 16, for instance.",
        )


class Writer(ABC):
    """Writes to a path while the video is made, and leaves a readable file however it ends.

    Use it in a ``with`` block, or call :meth:`close` on every way out. Memory does not grow with length.
    """

    path: Path
    """The file, or the folder."""
    frames: int
    """Frames written. Once closed, exactly those that can be read back."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.frames = 0
        self._is_open = True

    def write(self, array: Array) -> None:
        """Append the frames (or latents) of a chunk.

        Raises:
            OSError: The disk is full, or failed. What was written before can still be read once closed.
        """
        if not self._is_open:
            raise ValueError(f"{self.path} was closed.")
        self._write(array)

    def close(self) -> None:
        """Finish the file. Closing twice is harmless.

        Raises:
            OSError: The end could not be written. What can be read is counted in :attr:`frames`.
        """
        if self._is_open:
            self._is_open = False
            self._finish()

    @abstractmethod
    def _write(self, array: Array) -> None: ...

    @abstractmethod
    def _finish(self) -> None: ...

    def __enter__(self) -> Writer:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            self.close()
        except OSError:
            if error is None:
                raise


class VideoWriter(Writer):
    """Writes uint8 frames of one size, ``[T, height, width, 3]`` a chunk."""

    def __init__(self, path: Path, *, fps: float, height: int, width: int) -> None:
        check_fps(fps)
        super().__init__(path)
        self.fps = fps
        self.height = height
        self.width = width

    def _write(self, array: Array) -> None:
        if array.shape[1:] != (self.height, self.width, 3) or array.dtype.name != "uint8":
            raise ValueError(
                f"Frames are uint8 [T, {self.height}, {self.width}, 3], not {array.dtype} {array.shape}."
            )
        for frame in array:
            self._write_frame(frame)
            self.frames += 1

    @abstractmethod
    def _write_frame(self, frame: Frames) -> None: ...


def open_fresh(path: Path, overwrite: bool) -> FileIO:
    """Open a file for writing, unbuffered; one that exists is replaced only with ``overwrite``.

    Its folder is made where there is none.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    return path.open("wb" if overwrite else "xb", buffering=0)


def write_all(file: FileIO, data: bytes) -> None:
    """Write all of ``data`` to an unbuffered file, which may take a part at a time."""
    rest = memoryview(data)
    while rest:
        rest = rest[file.write(rest) :]
