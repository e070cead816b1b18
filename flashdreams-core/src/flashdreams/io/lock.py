"""Lock files of weights: where published files are, and the hashes that they must have. No torch here.

A package that needs published weights ships ``weights.lock.json`` beside its modules::

    {
      "vae": {
        "repo": "owner/name",
        "revision": "a commit",
        "licence": "apache-2.0",
        "files": {"vae.safetensors": {"sha256": "64 hexadecimal digits", "bytes": 507591892}}
      }
    }

The reference of this entry is ``package:vae``. An entry of files that lie on no hub has ``"url"``, the
address of its folder (of its one file, where it has one), in place of ``"repo"`` and ``"revision"``. What no
source tells yet is null: a revision, a hash or a size that is null is taken from the first download,
recorded in the user's own lock file (:mod:`flashdreams.io.user_lock`), and enforced from then on. Of a file
that ends in ``.index.json`` the shards that it names belong to the entry, listed or not.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import PurePosixPath
from typing import Any

from flashdreams.errors import LockFileError, WeightsReferenceError, did_you_mean
from flashdreams.infra.config.fields import config_fields, is_config

LOCK_FILE = "weights.lock.json"
INDEX_SUFFIX = ".index.json"
SAFE_ADDRESSES = ("https://", "http://127.0.0.1:", "http://localhost:")

_REFERENCE = re.compile(r"([A-Za-z_]\w+(?:\.\w+)*):([\w][\w.\-]*)")  # C:file is a path
_COMMIT = re.compile(r"[0-9a-f]{40}")
_HASH = re.compile(r"[0-9a-f]{64}")
_ENTRY_KEYS = {"repo", "revision", "url", "licence", "files"}
_FILE_KEYS = {"sha256", "bytes"}


@dataclass(frozen=True)
class LockedFile:
    """One file of an entry."""

    path: str
    """Its place in the repository, with forward slashes."""
    sha256: str | None = None
    """Its hash, 64 lower-case hexadecimal digits; None where no source tells it yet."""
    bytes: int | None = None
    """Its size; None where no source tells it yet."""

    @property
    def is_index(self) -> bool:
        """Whether it names further files, the shards of a model."""
        return self.path.endswith(INDEX_SUFFIX)


@dataclass(frozen=True)
class LockEntry:
    """Files that are used together."""

    reference: str
    """``package:entry``, by which configs name it."""
    files: tuple[LockedFile, ...]
    """One file, or those of a folder."""
    repo: str | None = None
    """``owner/name`` on the hub; None where ``url`` is set."""
    revision: str | None = None
    """The commit, 40 hexadecimal digits; None where it is not known yet."""
    url: str | None = None
    """Address of the folder of the files, or of the only one; None where ``repo`` is set."""
    licence: str | None = None
    """Licence of the weights, as their publisher names it."""

    @property
    def source(self) -> str:
        """Where it comes from, for people: ``owner/name@commit``, or the address."""
        if self.repo is None:
            return self.url or ""
        return f"{self.repo}@{self.revision[:12] if self.revision else 'main'}"

    @property
    def paths(self) -> list[str]:
        """The paths of its files."""
        return [file.path for file in self.files]

    def address(self, file: LockedFile) -> str:
        """Address of a file of an entry with a ``url``."""
        url = self.url or ""
        whole = len(self.files) == 1 and url.endswith("/" + PurePosixPath(file.path).name)
        return url if whole else f"{url.rstrip('/')}/{file.path}"


def is_reference(text: str) -> bool:
    """Whether text reads as ``package:entry``. ``C:model`` does not: packages have two letters or more."""
    return _REFERENCE.fullmatch(text) is not None


def references_in(*texts: str) -> list[str]:
    """Those texts that are references of lock entries, each once: for ``weight_references`` of a config."""
    return list(dict.fromkeys(text for text in texts if is_reference(text)))


def is_plain_path(path: str) -> bool:
    """Whether text is the path of a file, with forward slashes, that stays within its folder."""
    parts = PurePosixPath(path).parts
    return bool(parts) and not path.startswith("/") and ".." not in parts and not {"\\", ":"} & set(path)


def references_of(config: Any) -> list[str]:
    """References that a config and those nested in it need, each once, in the order of the tree.

    A config needs what its method ``weight_references() -> list[str]`` says, where it has one. Of a config
    with an ``effective_pipeline``, that takes the place of its ``pipeline``.
    """
    return list(dict.fromkeys(_references(config)))


def find_entry(reference: str) -> LockEntry:
    """The lock entry that a reference names.

    Raises:
        WeightsReferenceError: No such package is installed, or its lock file has no such entry.
        LockFileError: The lock file is malformed.
    """
    match = _REFERENCE.fullmatch(reference)
    if match is None:
        raise WeightsReferenceError(
            f"{reference!r} names no weights.",
            'A reference reads "package:entry"; the entry stands in the lock file of the package.',
            "Correct it, or give the path of a local file or folder.",
        )
    package, name = match.groups()
    entries = read_lock(package)
    if name not in entries:
        raise WeightsReferenceError(
            f"{reference!r}: the lock file of {package} has no entry {name!r}.",
            did_you_mean(name, entries),
            "Correct the reference, or install the version of the package that has it.",
        )
    return entries[name]


def read_lock(package: str) -> dict[str, LockEntry]:
    """Every entry of a package's lock file, by its name.

    Raises:
        WeightsReferenceError: There is no such package, or it ships no lock file.
        LockFileError: The lock file is malformed.
    """
    try:
        text = resources.files(package).joinpath(LOCK_FILE).read_text(encoding="utf-8")
    except (ImportError, OSError) as error:
        raise WeightsReferenceError(
            f"The weights of {package!r} cannot be looked up: {error}.",
            f"An installed package that ships {LOCK_FILE} was expected.",
            "Install the package, or give the path of a local file or folder.",
        ) from error
    return parse_lock(text, package, f"{LOCK_FILE} of {package}")


def parse_lock(text: str, package: str, where: str) -> dict[str, LockEntry]:
    """Entries of a lock file's text.

    Args:
        text: JSON.
        package: The package whose it is, for the references.
        where: What to call the file in errors.

    Raises:
        LockFileError: It is malformed.
    """
    try:
        tree = json.loads(text)
    except ValueError as error:
        raise _malformed(where, f"is no JSON: {error}") from error
    _check(isinstance(tree, dict), where, "holds no object")
    return {name: parse_entry(f"{package}:{name}", held, where) for name, held in tree.items()}


def parse_entry(reference: str, held: Any, where: str) -> LockEntry:
    """The entry that a lock file holds for a reference.

    Raises:
        LockFileError: It is malformed.
    """
    where = f"The entry {reference} in {where}"
    _check(isinstance(held, dict), where, f"is {held!r}, no object")
    _check(is_reference(reference), where, "has a name that no reference can say")
    foreign = sorted(map(str, held.keys() - _ENTRY_KEYS))
    _check(not foreign, where, f"has the keys {foreign}")
    _check(("repo" in held) != ("url" in held), where, "names not exactly one of repo and url")
    for key in ("repo", "revision", "url", "licence"):
        value = held.get(key)
        optional = key not in ("repo", "url") or key not in held
        _check(isinstance(value, str) or (value is None and optional), where, f"has the {key} {value!r}")
    revision, url = held.get("revision"), held.get("url")
    _check(revision is None or _COMMIT.fullmatch(revision) is not None, where, f"has the revision {revision}")
    _check(url is None or url.startswith(SAFE_ADDRESSES), where, f"has the url {url!r}")
    files = held.get("files")
    _check(isinstance(files, dict) and bool(files), where, "lists no files")
    locked = tuple(_file(path, facts, where) for path, facts in held["files"].items())
    return LockEntry(
        reference, locked, held.get("repo"), held.get("revision"), held.get("url"), held.get("licence")
    )


def _file(path: str, facts: Any, where: str) -> LockedFile:
    where = f"{where}, file {path!r},"
    _check(is_plain_path(path), where, "has no plain relative path")
    _check(isinstance(facts, dict) and not facts.keys() - _FILE_KEYS, where, f"says {facts!r}")
    sha256, size = facts.get("sha256"), facts.get("bytes")
    _check(sha256 is None or _is_hash(sha256), where, f"has the sha256 {sha256!r}")
    _check(size is None or (type(size) is int and size >= 0), where, f"has {size!r} bytes")
    return LockedFile(path, sha256, size)


def _is_hash(value: Any) -> bool:
    return isinstance(value, str) and _HASH.fullmatch(value) is not None


def _check(holds: bool, where: str, wrong: str) -> None:
    if not holds:
        raise _malformed(where, wrong)


def _malformed(where: str, wrong: str) -> LockFileError:
    return LockFileError(
        f"{where} {wrong}.",
        'An entry has "repo" and "revision" (or "url"), "licence", and "files": path to {"sha256", "bytes"};'
        " addresses begin with https://, and what is not known is null.",
        "Install the package again; if you are its author, correct the file.",
    )


def _references(value: Any) -> Iterator[str]:
    if is_config(value):
        own = getattr(value, "weight_references", None)
        yield from own() if own is not None else ()
        for info in config_fields(value):
            name = info.name
            if name == "pipeline" and hasattr(value, "effective_pipeline"):
                name = "effective_pipeline"
            yield from _references(getattr(value, name))
    elif isinstance(value, Mapping):
        yield from _references(list(value.values()))
    elif isinstance(value, Iterable) and not isinstance(value, str | bytes):
        for item in value:
            yield from _references(item)
