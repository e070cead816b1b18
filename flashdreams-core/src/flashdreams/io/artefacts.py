"""Artefacts: compiled code on disk, a folder for each key, which appears whole or not at all. No torch here.

Beside its files a folder holds ``facts.json``: what the artefact is, and the SHA-256 of every file.
"""

from __future__ import annotations

import errno
import json
import os
import platform
import shutil
import tempfile
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import file_digest, sha256
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from flashdreams import environment
from flashdreams.errors import ArtefactError
from flashdreams.io.artefact_scratch import bytes_in, is_in_use, scratch_in
from flashdreams.io.small_json import one_at_a_time, read_json

FACTS = "facts.json"


@dataclass(frozen=True)
class Artefact:
    """One folder of the store."""

    key: str
    folder: Path
    facts: dict[str, Any]
    size: int
    """Bytes of its files."""
    made: float
    """When it came into the store, in seconds since 1970."""


class ArtefactStore:
    """The artefacts of a folder, by default ``compile`` in the cache folder."""

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = environment.cache_folder() / "compile" if folder is None else folder

    def find(self, key: str) -> Path | None:
        """The folder of an artefact that is whole; None where there is none."""
        folder = self.folder / key
        return folder if _is_whole(folder) else None

    @contextmanager
    def making(self, key: str, facts: dict[str, Any]) -> Iterator[Path | None]:
        """Wait until nobody else makes this artefact, then give an empty folder for its files.

        The artefact is in the store when the block ends without an error. None is given where it is there
        already, since somebody else was faster.

        Raises:
            OSError: The store cannot be written.
        """
        with one_at_a_time(self.folder / key):
            if self.find(key) is not None:
                yield None
                return
            scratch = Path(tempfile.mkdtemp(dir=self.folder, prefix=f".{key}."))
            try:
                yield scratch
                self._commit(scratch, key, facts)
            finally:
                shutil.rmtree(scratch, ignore_errors=True)

    def entries(self) -> list[Artefact]:
        """Every artefact, the oldest first."""
        if not self.folder.is_dir():
            return []
        folders = [path for path in self.folder.iterdir() if (path / FACTS).is_file()]
        folders.sort(key=lambda path: (path.stat().st_mtime, path.name))
        return [_artefact(path) for path in folders if path.name[0] != "."]

    def clear(self) -> list[Artefact]:
        """Delete every artefact and, unless one is being made now, all scratch; says which there were.

        Raises:
            OSError: Something cannot be deleted.
        """
        gone = self.entries()
        if is_in_use(self.folder):
            for path in set(self.folder.iterdir()) - {*scratch_in(self.folder)}:
                shutil.rmtree(path)
        elif self.folder.is_dir():
            shutil.rmtree(self.folder)
        return gone

    def scratch_bytes(self) -> int:
        """Bytes of what compiling works with, and of what it left when it was broken off."""
        return bytes_in(scratch_in(self.folder))

    def export_to(self, file: Path) -> list[Artefact]:
        """Write all artefacts to a zip file, which appears whole or not at all.

        Raises:
            OSError: The file cannot be written.
        """
        entries = self.entries()
        if not file.name:
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(file))
        part = file.with_name(f".{file.name}.part")
        try:
            with zipfile.ZipFile(part, "w", zipfile.ZIP_DEFLATED) as archive:
                for entry in entries:
                    for path in sorted(entry.folder.iterdir()):
                        archive.write(path, f"{entry.key}/{path.name}")
            os.replace(part, file)
        finally:
            part.unlink(missing_ok=True)
        return entries

    def import_from(self, file: Path) -> dict[str, bool]:
        """Add the artefacts of a file that :meth:`export_to` wrote; those that are here already stay.

        Compiled code can do whatever a program can: import only from whom you would install a program.

        Returns:
            Whether each was added, by its key; the others were here.

        Raises:
            ArtefactError: It is no such file, or damaged.
            OSError: The store cannot be written.
        """
        with _opened(file) as archive:
            keys = sorted({_key_in(name, file) for name in archive.namelist()})
            return {key: self._took(archive, key, file) for key in keys}

    def _took(self, archive: zipfile.ZipFile, key: str, file: Path) -> bool:
        with self.making(key, {}) as folder:
            if folder is None:
                return False
            for name in archive.namelist():
                if name.partition("/")[0] == key:
                    (folder / name.partition("/")[2]).write_bytes(_member(archive, name, file))
            if not _is_whole(folder):
                raise _unreadable(file, f"{key} is not whole")
        return True

    def _commit(self, scratch: Path, key: str, facts: dict[str, Any]) -> None:
        hashes = {path.name: _digest(path) for path in sorted(scratch.iterdir()) if path.name != FACTS}
        write_facts(scratch, **facts, files=hashes)
        final = self.folder / key
        shutil.rmtree(final, ignore_errors=True)  # one that is not whole
        os.replace(scratch, final)


def read_facts(folder: Path) -> dict[str, Any]:
    """What an artefact says about itself; nothing where it says nothing."""
    return read_json(folder / FACTS)


def write_facts(folder: Path, **facts: Any) -> None:
    """Add to what an artefact that is being made says about itself."""
    text = json.dumps({**read_facts(folder), **facts}, indent=2, sort_keys=True)
    (folder / FACTS).write_text(text + "\n", encoding="utf-8")


def unpacked(archive: Path, *, suffixes: tuple[str, ...]) -> None:
    """Put those files of an archive that end so beside it, and delete it."""
    with zipfile.ZipFile(archive) as opened:
        for name in opened.namelist():
            if name.endswith(suffixes):
                (archive.parent / Path(name).name).write_bytes(opened.read(name))
    archive.unlink()


def only_file(folder: Path, suffix: str) -> str:
    """Path of the one file of a folder that ends so."""
    (path,) = folder.glob(f"*{suffix}")
    return str(path)


def sources_digest(packages: Sequence[str]) -> str:
    """SHA-256 over the Python sources of packages: code compiled from others is another artefact."""
    digest = sha256()
    for package in packages:
        found = import_module(package)
        folders = [Path(folder) for folder in getattr(found, "__path__", [])]
        single = [Path(found.__file__)] if not folders and found.__file__ else []
        for path in sorted(path for folder in folders for path in folder.rglob("*.py")) + single:
            digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def installed_version(distribution: str) -> str:
    """Version of an installed distribution; nothing where there is none."""
    try:
        return version(distribution)
    except PackageNotFoundError:
        return ""


def cpu_identity() -> str:
    """What compiled code for this CPU depends on: its model and instructions, as the system tells them."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return f"{platform.machine()} {platform.processor()}"
    told = {line.partition(":")[0].strip(): line.partition(":")[2].strip() for line in lines}
    kept = [told.get(name, "") for name in ("model name", "flags", "Features")]
    return " ".join([platform.machine(), *kept]).strip()


def _artefact(folder: Path) -> Artefact:
    size = sum(path.stat().st_size for path in folder.iterdir())
    return Artefact(folder.name, folder, read_facts(folder), size, folder.stat().st_mtime)


def _is_whole(folder: Path) -> bool:
    files = read_facts(folder).get("files")
    try:
        return (
            isinstance(files, dict)
            and bool(files)
            and all(_digest(folder / name) == digest for name, digest in files.items())
        )
    except (OSError, ValueError):
        return False


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return file_digest(file, "sha256").hexdigest()


def _opened(file: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(file)
    except (OSError, zipfile.BadZipFile) as error:
        raise _unreadable(file, str(error)) from error


def _member(archive: zipfile.ZipFile, name: str, file: Path) -> bytes:
    try:
        return archive.read(name)
    except (OSError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
        raise _unreadable(file, f"{name} is damaged: {error}") from error


def _key_in(name: str, file: Path) -> str:
    key, slash, rest = name.partition("/")
    if not slash or not key.isalnum() or not rest or "/" in rest or "\\" in rest or rest.startswith("."):
        raise _unreadable(file, f"it holds {name!r}")
    return key


def _unreadable(file: Path, reason: str) -> ArtefactError:
    return ArtefactError(
        f"{file} cannot be imported: {reason}.",
        "A file that `flashdreams cache export` wrote was expected.",
        "Export it again where the artefacts were made.",
    )
