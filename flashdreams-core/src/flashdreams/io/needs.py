"""What a lock entry needs: its files, what is known of each, and which of them are here. No torch."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from flashdreams import environment
from flashdreams.errors import DownloadError, WeightsHashError
from flashdreams.io import hub_client, url_client
from flashdreams.io.lock import INDEX_SUFFIX, LockedFile, LockEntry, find_entry, is_plain_path
from flashdreams.io.source import Remote
from flashdreams.io.user_lock import completed, way_out

_DIFFERS = "Update the package whose lock file names it; do not use the file otherwise."


@dataclass(frozen=True)
class Needs:
    """An entry, and where its files are."""

    entry: LockEntry
    """With all that is known of it."""
    here: dict[str, Path]
    """Its files that are on this machine, by their paths in the repository."""
    pinned: frozenset[str] = frozenset()
    """Paths of those whose hash a lock file tells; the others are trusted at first sight."""

    @property
    def missing(self) -> list[LockedFile]:
        """The others, an index before the shards that it names."""
        files = [file for file in self.entry.files if file.path not in self.here]
        return sorted(files, key=lambda file: not file.is_index)

    @property
    def is_complete(self) -> bool:
        """Whether all of its files are known and here."""
        return not self.missing

    @property
    def has_unknown_shards(self) -> bool:
        """Whether an index is missing, and nothing is known of the shards that it names."""
        indices = [file for file in self.missing if file.is_index]
        return any(len(_shards([index], self.entry.paths)) == 0 for index in indices)

    def size(self, file: LockedFile) -> int | None:
        """Bytes of a file, as far as they are known."""
        local = self.here.get(file.path)
        return local.stat().st_size if local is not None else file.bytes


def needs_of(reference: str) -> Needs:
    """What the entry of a reference needs, as far as this machine knows it. Nothing is asked of a source.

    Raises:
        WeightsReferenceError: No installed package has such an entry.
        LockFileError: A lock file is malformed.
    """
    entry = completed(find_entry(reference))
    return locate(Needs(entry, {}, frozenset(file.path for file in entry.files if file.sha256 is not None)))


def locate(needs: Needs) -> Needs:
    """Look for the files of an entry on this machine, those included that an index of it names."""
    entry = needs.entry
    here = _here(entry, entry.files)
    shards = [shard for file in entry.files if file.is_index for shard in _named(file, here.get(file.path))]
    entry = with_files(entry, shards)
    return replace(needs, entry=entry, here=_here(entry, entry.files))


def ask_source(needs: Needs) -> Remote:
    """What the source of an entry holds.

    Raises:
        DownloadError: It cannot be reached, or does not have what the entry names.
    """
    look_up = hub_client.look_up if needs.entry.repo is not None else url_client.look_up
    return look_up(needs.entry)


def told(needs: Needs, remote: Remote) -> Needs:
    """The same, with what its source tells: the commit, sizes, hashes, and shards.

    Raises:
        DownloadError: The source has a file in another size than the lock file pins.
        WeightsHashError: The source has a file with another hash than the lock file pins.
    """
    entry = replace(needs.entry, revision=needs.entry.revision or remote.revision)
    entry = with_files(entry, _shards(entry.files, remote.paths or ()))
    files = tuple(_told(entry, file, remote) for file in entry.files)
    return locate(replace(needs, entry=replace(entry, files=files)))


def url_target(entry: LockEntry, path: str) -> Path:
    """Where a file of an entry with a ``url`` lies once it is here."""
    return url_folder(entry) / path


def with_files(entry: LockEntry, paths: Iterable[str]) -> LockEntry:
    """The entry with further files of which nothing is known."""
    further = [LockedFile(path) for path in paths if path not in entry.paths]
    return replace(entry, files=(*entry.files, *further))


def url_folder(entry: LockEntry) -> Path:
    """Where the files of an entry with a ``url`` lie."""
    return environment.cache_folder().joinpath("files", *entry.reference.split(":"))


def _here(entry: LockEntry, files: Iterable[LockedFile]) -> dict[str, Path]:
    if entry.repo is not None:
        found = {file.path: hub_client.cached(entry, file.path) for file in files}
    else:
        found = {file.path: url_target(entry, file.path) for file in files}
    return {path: local for path, local in found.items() if local is not None and local.is_file()}


def _named(index: LockedFile, local: Path | None) -> Iterator[str]:
    """Paths of the shards that an index names, where it is here and can be read."""
    if local is None:
        return
    try:
        names = set(json.loads(local.read_text(encoding="utf-8"))["weight_map"].values())
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return  # it is no index: loading will say so, with the file
    folder = PurePosixPath(index.path).parent
    for name in sorted(str(name) for name in names):
        if PurePosixPath(name).name == name and is_plain_path(name):
            yield str(folder / name)


def _shards(files: Iterable[LockedFile], paths: Iterable[str]) -> list[str]:
    """Those paths that are named like the shards of an index among the files."""
    stems = "|".join(re.escape(_stem(file.path)) for file in files if file.is_index)
    pattern = re.compile(rf"(?:{stems})-\d+-of-\d+\.\w+")
    return sorted(path for path in paths if stems and pattern.fullmatch(path))


def _stem(index: str) -> str:
    """``folder/model`` of ``folder/model.safetensors.index.json``."""
    return str(PurePosixPath(index.removesuffix(INDEX_SUFFIX)).with_suffix(""))


def _told(entry: LockEntry, file: LockedFile, remote: Remote) -> LockedFile:
    """What is known of a file once its source has told what it knows."""
    size, sha256 = remote.sizes.get(file.path), remote.hashes.get(file.path)
    if file.sha256 is not None and sha256 is not None and file.sha256 != sha256:
        error = WeightsHashError(
            f"{entry.source} has {file.path} with the SHA-256 {sha256[:12]}...",
            f"The pinned one is {file.sha256[:12]}...; nothing was fetched.",
            _DIFFERS + way_out(entry, file),
        )
        error.expected, error.actual = file.sha256, sha256
        raise error
    if file.bytes is not None and size is not None and file.bytes != size:
        raise DownloadError(
            f"{entry.source} has {file.path} with {size} bytes.",
            f"The pinned one has {file.bytes}; nothing was fetched.",
            _DIFFERS + way_out(entry, file),
        )
    return replace(file, sha256=file.sha256 or sha256, bytes=size if file.bytes is None else file.bytes)
