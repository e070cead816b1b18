"""Published weights: where their files are on this machine, fetched and checked where they are not."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from flashdreams.errors import DownloadError, WeightsFileError, WeightsHashError
from flashdreams.io import hub_client, url_client
from flashdreams.io.checksum import identity
from flashdreams.io.fetching import fetching, fetching_for, is_offline, offline
from flashdreams.io.lock import LockedFile, LockEntry, is_reference
from flashdreams.io.needs import Needs, ask_source, locate, needs_of, told, url_target
from flashdreams.io.room import check_room
from flashdreams.io.user_lock import record, user_lock, way_out

__all__ = [
    "Obtained",
    "check_here",
    "fetch",
    "fetching_for",
    "is_offline",
    "obtain",
    "offline",
    "resolve_weights",
    "trust_note",
]

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Obtained:
    """Weights that are here and were checked."""

    path: Path
    """The file of the entry, or the folder of its files."""
    trusted: tuple[LockedFile, ...]
    """Files whose hash no lock file told before: they are trusted from now on."""


def resolve_weights(text: str) -> Path:
    """The local file or folder that a ``weights`` field means, fetched where it is not here yet.

    Args:
        text: A local file or folder, or a reference such as "some_package:vae".

    Raises:
        WeightsFileError: There is no such file.
        WeightsError: As :func:`fetch` raises.
    """
    path = Path(text).expanduser()
    if path.exists():
        return path
    if is_reference(text):
        return fetch(text)
    raise WeightsFileError(
        f"There is no weights file or folder {text}.",
        'Weights are a local file or folder, or a reference that reads "package:entry".',
        "Check the path, or download the weights again.",
    )


def fetch(reference: str) -> Path:
    """The file of a lock entry, or the folder of its files, fetched where it is not here yet.

    What no lock file tells is trusted at the first time, recorded, and said in the log.

    Raises:
        WeightsError: As :func:`obtain` raises.
    """
    obtained = obtain(reference)
    for file in obtained.trusted:
        log.warning(trust_note(reference, file))
    return obtained.path


def obtain(reference: str) -> Obtained:
    """Have every file of a lock entry here, and check it.

    Each is checked against its SHA-256, once: the hash of a file that has not changed since is remembered.

    Raises:
        WeightsReferenceError: No installed package has such an entry.
        LockFileError: A lock file is malformed, or the user's cannot be written.
        DownloadError: A file is not here, and cannot be fetched (or must not: :func:`offline`).
        WeightsFileError: A file is here in part.
        WeightsHashError: A file is not what it should be.
    """
    needs = needs_of(reference)
    revision = needs.entry.revision
    if not needs.is_complete:
        if is_offline():
            raise _not_here(needs)
        needs = _fetched(told(needs, ask_source(needs)))
    entry = _checked(needs)
    trusted = tuple(file for file in entry.files if file.path not in needs.pinned)
    if trusted or entry.revision != revision:
        record(entry)
    return Obtained(_place(needs), trusted)


def check_here(references: Iterable[str]) -> None:
    """Refuse at once what would fail later, where nothing may be fetched.

    Raises:
        DownloadError: A file of an entry is not on this machine.
        WeightsError: As :func:`obtain` raises.
    """
    for reference in references:
        if not (needs := needs_of(reference)).is_complete:
            raise _not_here(needs)


def trust_note(reference: str, file: LockedFile) -> str:
    """What users are told about a file that is trusted for the first time."""
    return (
        f"No lock file tells the SHA-256 of {file.path} of {reference} yet: {file.sha256} is trusted"
        f" from now on, as recorded in {user_lock()}."
    )


def _fetched(needs: Needs) -> Needs:
    """Fetch what is missing, shards included that an index names once it is here."""
    check_room([needs])
    tried: set[str] = set()
    while missing := [file for file in needs.missing if file.path not in tried]:
        file = missing[0]
        tried.add(file.path)
        _check(needs.entry, file, _downloaded(needs.entry, file), is_fresh=True)
        needs = locate(needs)
    if not needs.is_complete:
        raise _not_here(needs)
    return needs


def _downloaded(entry: LockEntry, file: LockedFile) -> Path:
    if entry.repo is not None:
        return hub_client.download(entry, file.path)
    target = url_target(entry, file.path)
    url_client.download(url_client.Address(entry.address(file)), target)
    return target


def _checked(needs: Needs) -> LockEntry:
    """Check every file; the entry, with what its files themselves told."""
    entry, here = needs.entry, needs.here
    files = tuple(_check(entry, file, here[file.path]) for file in entry.files)
    first = files[0].path
    if entry.repo is not None and entry.revision is None:
        entry = replace(entry, revision=hub_client.revision_of(here[first], first))
    return replace(entry, files=files)


def _check(entry: LockEntry, file: LockedFile, local: Path, is_fresh: bool = False) -> LockedFile:
    """Compare a file with what is known of it. One that was fetched just now does not stay if it differs."""
    size = local.stat().st_size
    whole = file.bytes is None or size == file.bytes
    actual = identity(local) if whole else ""
    if whole and actual == (file.sha256 or actual):
        return replace(file, sha256=actual, bytes=size)
    if is_fresh:
        hub_client.forget(local)
    remedy = f"{'It was deleted again; try' if is_fresh else 'Delete it, then run'}: {fetching().command}"
    remedy += way_out(entry, file)
    if not whole:
        raise WeightsFileError(f"{local} has {size} bytes.", f"It should have {file.bytes}.", remedy)
    error = WeightsHashError(
        f"{local} has the SHA-256 {actual[:12]}...",
        f"The one of {file.path} of {entry.source} is {(file.sha256 or '')[:12]}...",
        remedy,
    )
    error.expected, error.actual = file.sha256 or "", actual
    raise error


def _place(needs: Needs) -> Path:
    paths = [needs.here[file.path] for file in needs.entry.files]
    return paths[0] if len(paths) == 1 else Path(os.path.commonpath([path.parent for path in paths]))


def _not_here(needs: Needs) -> DownloadError:
    first, count = needs.missing[0], len(needs.missing)
    others = f" and {count - 1} more files" if count > 1 else ""
    return DownloadError(
        f"{first.path}{others} of {needs.entry.source} ({needs.entry.reference}) are not on this machine."
        if others
        else f"{first.path} of {needs.entry.source} ({needs.entry.reference}) is not on this machine.",
        "Offline, nothing is fetched." if is_offline() else "Its source did not give it.",
        f"Connect to the network, then: {fetching().command}",
    )
