"""Video out: a writer for every kind of file. Their libraries are imported when one is opened."""

from __future__ import annotations

from pathlib import Path

from flashdreams.errors import OutputError
from flashdreams.io.gif import GifWriter
from flashdreams.io.mp4 import Mp4Writer
from flashdreams.io.outputs import check_output, holds_latents
from flashdreams.io.pixels import enlarge, side_by_side, to_uint8
from flashdreams.io.png_folder import PngFolderWriter
from flashdreams.io.writer import Frames, VideoWriter, Writer

__all__ = [
    "Frames",
    "GifWriter",
    "Mp4Writer",
    "PngFolderWriter",
    "VideoWriter",
    "Writer",
    "check_output",
    "enlarge",
    "open_video",
    "side_by_side",
    "to_uint8",
]


def open_video(
    path: str | Path, *, fps: float, height: int, width: int, overwrite: bool = False
) -> VideoWriter:
    """Open the writer that ``path`` asks for by its suffix: .mp4, .gif, or none for a folder of PNGs.

    Args:
        path: File or folder to write.
        fps: Frames per second.
        height: Height of the frames in pixels.
        width: Width of the frames in pixels.
        overwrite: Replace what is there already.

    Raises:
        OutputError: Something is there already, the folder cannot be written, or the suffix is unknown.
        FieldValueError: Frames are shown slower than 0.1 or faster than 1000 per second.
        OSError: The disk is full, or failed.
    """
    path = Path(path)
    check_output(path, overwrite=overwrite)
    if holds_latents(path):
        raise OutputError(
            f"The output is {path}, which holds latents.",
            "Frames go to .mp4, .gif, or a folder.",
            "Choose one of these, or write latents with LatentsWriter.",
        )
    writers: dict[str, type[Mp4Writer | GifWriter]] = {".mp4": Mp4Writer, ".gif": GifWriter}
    writer = writers.get(path.suffix.lower(), PngFolderWriter)
    return writer(path, fps=fps, height=height, width=width, overwrite=overwrite)
