"""Where output goes: whether it can be written there, asked before work begins, and free names."""

from __future__ import annotations

import itertools
import os
import tempfile
from contextlib import suppress
from pathlib import Path

from flashdreams.errors import OutputError

LATENTS_SUFFIX = ".npz"
SUFFIXES = (".mp4", ".gif", LATENTS_SUFFIX, "")
TRACE_SUFFIX = ".json"
RECORD_SUFFIX = ".run.yaml"


def holds_latents(path: Path) -> bool:
    """Whether an output of this name holds latents instead of frames."""
    return path.suffix.lower() == LATENTS_SUFFIX


def record_path(output: Path) -> Path:
    """The record beside an output: ``drive.mp4`` has ``drive.mp4.run.yaml``, and ``drive.gif`` its own."""
    return output.with_name(output.name + RECORD_SUFFIX)


def free_output(folder: Path, stem: str, suffix: str) -> Path:
    """``stem`` in ``folder``, or the first of ``stem-2``, ``stem-3``, ... where there is no output yet."""
    names = (stem if count == 1 else f"{stem}-{count}" for count in itertools.count(1))
    paths = (folder / f"{name}{suffix}" for name in names)
    return next(path for path in paths if not (is_taken(path) or is_taken(record_path(path))))


def is_taken(path: Path) -> bool:
    """Whether writing there would replace something; an empty folder is free."""
    return any(path.iterdir()) if os.path.isdir(path) else os.path.exists(path)


def check_output(path: Path, *, overwrite: bool = False) -> None:
    """Refuse an output that could not be written. Nothing is made: the writer makes its folder.

    Raises:
        OutputError: Something is there already, the folder cannot be written, or the suffix is unknown.
    """
    if path.suffix.lower() not in SUFFIXES:
        raise OutputError(
            f"The output is {path}, with the suffix {path.suffix}.",
            "An output is .mp4, .gif, .npz (latents), or a folder of PNG frames where there is no suffix.",
            f"Name it {path.with_suffix('.mp4').name}, for instance.",
        )
    _check_kind(path)
    check_free(path, overwrite=overwrite)
    _check_writable(path)


def check_trace(path: Path, *, overwrite: bool = False) -> None:
    """Refuse a file for a profiler's trace that could not be written. Nothing is made.

    Raises:
        OutputError: Something is there already, the folder cannot be written, or the suffix is another.
    """
    if path.suffix.lower() != TRACE_SUFFIX:
        raise OutputError(
            f"The profile is {path}.",
            "A profile is a .json file, for chrome://tracing or ui.perfetto.dev.",
            f"Name it {path.with_suffix(TRACE_SUFFIX).name}, for instance.",
        )
    _check_kind(path, "--profile")
    if not overwrite and is_taken(path):
        raise exists_already(path, "--profile")
    _check_writable(path, "--profile")


def check_free(path: Path, *, overwrite: bool = False) -> None:
    """Refuse to replace what exists already, unless ``overwrite`` is set.

    Raises:
        OutputError: Something is there already.
    """
    if not overwrite and is_taken(path):
        raise exists_already(path)


def exists_already(path: Path, flag: str = "--output") -> OutputError:
    """The error of an output whose name is taken."""
    return OutputError(
        f"{path} exists already.",
        "An output is never replaced unasked.",
        f"Choose another name with {flag}, or set --overwrite.",
    )


def write_text(path: Path, text: str, *, make_folder: bool = False) -> None:
    """Write a text file, or replace it, at one stroke: it is never seen half-written.

    With ``make_folder`` its folder is made where there is none.

    Raises:
        OSError: The disk is full, or failed. What was there before is there still.
    """
    unfinished = path.with_name(f".{path.name}.unfinished")
    if make_folder:
        path.parent.mkdir(parents=True, exist_ok=True)
    try:
        unfinished.write_text(text, encoding="utf-8")
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


def _check_kind(path: Path, flag: str = "--output") -> None:
    is_folder = path.suffix == ""
    if os.path.isdir(path) and not is_folder:  # unlike Path's, these raise nothing
        raise OutputError(
            f"{path} is a folder.",
            f"An output with the suffix {path.suffix} is a file.",
            f"Choose another name with {flag}.",
        )
    if is_folder and os.path.exists(path) and not os.path.isdir(path):
        raise OutputError(
            f"{path} is a file.",
            "An output without a suffix is a folder of PNG frames.",
            f"Name it {path.name}.mp4, for instance.",
        )


def _check_writable(path: Path, flag: str = "--output or --output-dir") -> None:
    try:
        with tempfile.TemporaryFile(dir=_deepest_there(path.parent if path.suffix else path)):
            pass
        if path.is_file() and not os.access(path, os.W_OK):
            raise PermissionError(0, "it is write-protected")
    except OSError as error:
        raise OutputError(
            f"{path} cannot be written: {error.strerror or error}.",
            "An output goes to a folder that is there or can be made, where you may write.",
            f"Choose another place with {flag}.",
        ) from error


def _deepest_there(folder: Path) -> Path:
    """The deepest of a folder and its parents that exists; an OSError where one of them never can."""
    for part in (folder, *folder.parents):
        with suppress(FileNotFoundError):
            part.stat()
            return part
    return folder
