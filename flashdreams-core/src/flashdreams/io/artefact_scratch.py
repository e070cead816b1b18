"""What compiling leaves beside artefacts: scratch and locks, also where it was broken off. No torch."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

IN_USE_SECONDS = 0.05
"""How long a lock is tried for before it counts as held."""


def scratch_in(folder: Path) -> list[Path]:
    """Everything in the folder of a store that is no artefact and was hidden while one was made."""
    return [path for path in folder.iterdir() if path.name[0] == "."] if folder.is_dir() else []


def bytes_in(paths: list[Path]) -> int:
    """Bytes of files and of whole folders; what vanishes meanwhile is not counted."""
    total = 0
    for path in paths:
        for each in (path, *path.rglob("*")):
            with suppress(OSError):
                total += each.stat().st_size if each.is_file() else 0
    return total


def is_in_use(folder: Path) -> bool:
    """Whether an artefact is being made in the folder now: a lock of it is held.

    Raises:
        OSError: A lock cannot be tried.
    """
    return any(_is_held(path) for path in scratch_in(folder) if path.suffix == ".lock")


def _is_held(lock: Path) -> bool:
    from filelock import Timeout
    from huggingface_hub.utils import WeakFileLock  # type: ignore[attr-defined]

    try:
        with WeakFileLock(lock, timeout=IN_USE_SECONDS):
            return False
    except Timeout:
        return True
