"""SHA-256 of files, and of large ones only once."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterable
from pathlib import Path

from flashdreams import environment
from flashdreams.io.small_json import merge_json, read_json

REMEMBERED = "hashes.json"
"""In the cache folder: the hash of each file by its path, valid while size and times stay the same."""


def sha256_of(path: str | Path) -> str:
    """SHA-256 of a file, 64 hexadecimal digits. The file is read in pieces.

    Raises:
        OSError: The file cannot be read.
    """
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def hashes_of(names: Iterable[str | Path]) -> dict[str, str]:
    """SHA-256 of each name that is a file; other names are left out."""
    return {str(name): sha256_of(name) for name in names if name and os.path.isfile(name)}


def identity(path: str | Path) -> str:
    """What a weights file or folder holds, as 64 hexadecimal digits that change when it does.

    That of a file is its SHA-256; that of a folder is made of the names and hashes of its files. Each hash
    is remembered in :func:`flashdreams.environment.cache_folder`, and computed again only where the size,
    the place on disk or a time of the file has changed.

    Raises:
        OSError: A file cannot be read.
    """
    path = Path(path)
    if not path.is_dir():
        return _remembered_sha256(path)
    files = sorted(file for file in path.rglob("*") if file.is_file())
    lines = [f"{_remembered_sha256(file)}  {file.relative_to(path).as_posix()}\n" for file in files]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _remembered_sha256(path: Path) -> str:
    memory = environment.cache_folder() / REMEMBERED
    place, state = str(path.resolve()), _state_of(path)
    known = read_json(memory).get(place)
    if isinstance(known, dict) and known.get("state") == state and isinstance(known.get("sha256"), str):
        return str(known["sha256"])
    digest = sha256_of(path)
    if state == _state_of(path):
        with contextlib.suppress(OSError):  # a full or read-only disk costs the memory, not the hash
            merge_json(memory, {place: {"state": state, "sha256": digest}})
    return digest


def _state_of(path: Path) -> list[int]:
    found = path.stat()
    return [found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino]
