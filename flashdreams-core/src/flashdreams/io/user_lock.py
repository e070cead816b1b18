"""The user's own lock file: what was trusted at the first download, and is enforced ever after. No torch.

It lies in :func:`flashdreams.environment.cache_folder`, and says only what the lock files of the installed
packages leave open.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from flashdreams import environment
from flashdreams.errors import LockFileError
from flashdreams.io.lock import LOCK_FILE, LockedFile, LockEntry, find_entry, parse_entry
from flashdreams.io.small_json import merge_json


def user_lock() -> Path:
    """Where the file is, or will be."""
    return environment.cache_folder() / LOCK_FILE


def completed(entry: LockEntry) -> LockEntry:
    """The entry of a package, what it leaves open taken from the user's lock file.

    What was recorded for another repository, revision or address counts no more. Shards that an index of
    the entry names were recorded beside the files that the package lists.

    Raises:
        LockFileError: The user's lock file is malformed.
    """
    held = _read().get(entry.reference)
    if held is None:
        return entry
    known = parse_entry(entry.reference, held, str(user_lock()))
    if (known.repo, known.url) != (entry.repo, entry.url):
        return entry
    if entry.revision is not None and known.revision != entry.revision:
        return entry
    recorded = {file.path: file for file in known.files}
    files = [_filled(file, recorded.pop(file.path, None)) for file in entry.files]
    if any(file.is_index for file in entry.files):
        files += recorded.values()
    return replace(entry, revision=known.revision, files=tuple(files))


def way_out(entry: LockEntry, file: LockedFile) -> str:
    """What else to do about a file that differs from what the user's lock file alone pins; mostly nothing."""
    package = find_entry(entry.reference)
    recorded = _hash_in(completed(package), file)
    if recorded is None or recorded != file.sha256 or recorded == _hash_in(package, file):
        return ""
    return f"\nIf its publisher changed it and you trust that, take {entry.reference} out of {user_lock()}."


def record(entry: LockEntry) -> None:
    """Trust an entry from now on, as it is.

    Raises:
        LockFileError: The file cannot be written, or is malformed.
    """
    _read()
    try:
        merge_json(user_lock(), {entry.reference: _as_tree(entry)})
    except OSError as error:
        raise LockFileError(
            f"{user_lock()} cannot be written: {error.strerror}.",
            "The hashes of first downloads are kept there, so that later ones can be checked.",
            "Make the folder writable, or set FLASHDREAMS_CACHE to one that is.",
        ) from error


def _read() -> Mapping[str, Any]:
    path = user_lock()
    try:
        held = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise _malformed(path) from error
    if not isinstance(held, dict):
        raise _malformed(path)
    return held


def _malformed(path: Path) -> LockFileError:
    return LockFileError(
        f"{path} cannot be read as a lock file.",
        "It keeps the hashes of what was downloaded before, and is written by flashdreams alone.",
        "Restore it; or delete it, and the next download of each file is trusted anew.",
    )


def _hash_in(entry: LockEntry, file: LockedFile) -> str | None:
    return next((held.sha256 for held in entry.files if held.path == file.path), None)


def _filled(file: LockedFile, known: LockedFile | None) -> LockedFile:
    if known is None or (file.sha256 is not None and file.sha256 != known.sha256):
        return file
    size = known.bytes if file.bytes is None else file.bytes
    return replace(file, sha256=file.sha256 or known.sha256, bytes=size)


def _as_tree(entry: LockEntry) -> dict[str, Any]:
    source = {"url": entry.url} if entry.repo is None else {"repo": entry.repo, "revision": entry.revision}
    files = {file.path: {"sha256": file.sha256, "bytes": file.bytes} for file in entry.files}
    return {**source, "licence": entry.licence, "files": files}
