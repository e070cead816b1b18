"""Video out: which writer writes what, and whether it can, before work begins."""

from __future__ import annotations

import tempfile
from pathlib import Path

from flashdreams.errors import OutputError
from flashdreams.io.gif import GifWriter
from flashdreams.io.mp4 import Mp4Writer
from flashdreams.io.pixels import enlarge, side_by_side, to_uint8
from flashdreams.io.png_folder import PngFolderWriter
from flashdreams.io.writer import VideoWriter, Writer

__all__ = [
    "GifWriter",
    "Mp4Writer",
    "PngFolderWriter",
    "VideoWriter",
    "Writer",
    "check_output",
    "enlarge",
    "holds_latents",
    "open_video",
    "side_by_side",
    "to_uint8",
]

_WRITERS: dict[str, type[Mp4Writer | GifWriter | PngFolderWriter]] = {
    ".mp4": Mp4Writer,
    ".gif": GifWriter,
    "": PngFolderWriter,
}
_LATENTS = ".npz"
_FORMS = "An output is .mp4, .gif, .npz (latents), or a folder of PNG frames where there is no suffix."


def open_video(path: Path, *, fps: float, height: int, width: int, overwrite: bool = False) -> VideoWriter:
    """Open the writer that ``path`` asks for by its suffix: .mp4, .gif, or none for a folder of PNGs.

    Args:
        path: File or folder to write.
        fps: Frames per second.
        height: Height of the frames in pixels.
        width: Width of the frames in pixels.
        overwrite: Replace what is there already.

    Raises:
        OutputError: Something is there already, the folder cannot be written, or the suffix is unknown.
    """
    check_output(path, overwrite=overwrite)
    if holds_latents(path):
        raise OutputError(
            f"The output is {path}, which holds latents.",
            "Frames go to .mp4, .gif, or a folder.",
            "Choose one of these.",
        )
    return _WRITERS[path.suffix.lower()](path, fps=fps, height=height, width=width, overwrite=overwrite)


def holds_latents(path: Path) -> bool:
    """Whether an output of this name holds latents instead of frames."""
    return path.suffix.lower() == _LATENTS


def check_output(path: Path, *, overwrite: bool = False) -> None:
    """Refuse an output that could not be written. Its folder is made where there is none.

    Raises:
        OutputError: Something is there already, the folder cannot be written, or the suffix is unknown.
    """
    suffix = path.suffix.lower()
    if suffix not in (*_WRITERS, _LATENTS):
        raise OutputError(
            f"The output is {path}, with the suffix {path.suffix}.",
            _FORMS,
            f"Name it {path.with_suffix('.mp4').name}, for instance.",
        )
    _check_kind(path, is_folder=suffix == "")
    if is_taken(path) and not overwrite:
        raise OutputError(
            f"{path} exists already.",
            "An output is never replaced unasked.",
            "Choose another name with --output, or set --overwrite.",
        )
    _check_writable(path, path if suffix == "" else path.parent)


def is_taken(path: Path) -> bool:
    """Whether writing there would replace something; an empty folder is free."""
    return any(path.iterdir()) if path.is_dir() else path.exists()


def _check_kind(path: Path, is_folder: bool) -> None:
    if path.is_dir() and not is_folder:
        raise OutputError(f"{path} is a folder.", "An output with a suffix is a file.", "Choose another name.")
    if path.exists() and is_folder and not path.is_dir():
        raise OutputError(
            f"{path} is a file.",
            "An output without a suffix is a folder of PNG frames.",
            f"Name it {path.name}.mp4, for instance.",
        )


def _check_writable(path: Path, folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
        if path.is_file():
            path.open("r+b").close()
    except OSError as error:
        raise OutputError(
            f"{path} cannot be written: {error.strerror or error}.",
            "An output goes to a folder that exists or can be made, where you may write, on a disk with room.",
            "Choose another place with --output or --output-dir.",
        ) from error
