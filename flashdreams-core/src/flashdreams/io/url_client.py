"""Files at plain addresses: fetched so that a download that breaks off goes on where it stopped."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from flashdreams.io.checksum import sha256_of
from flashdreams.io.lock import SAFE_ADDRESSES, LockEntry
from flashdreams.io.small_json import one_at_a_time, read_json
from flashdreams.io.source import PATIENCE, Remote, absent, altered, broken_off

TRIES = 5
"""How often a download goes on by itself after it broke off."""
PIECE = 1 << 20
AGENT = {"User-Agent": "flashdreams", "Accept-Encoding": "identity"}


@dataclass(frozen=True)
class Address:
    """Where a file is, and what is told there."""

    url: str
    own: Mapping[str, str] = field(default_factory=dict)
    """Headers for this host alone (a token, say): another host that it sends us on to does not get them."""


@dataclass(frozen=True)
class Part:
    """A download that is not whole yet, and which version of its source it is of."""

    path: Path
    sha256: str | None = None
    """The hash that it will have once it is whole, where that is known and ``path`` is named after it: then
    it can be of no other version, and does not become a file unless it has that hash."""

    @property
    def note(self) -> Path:
        """Where the version is noted."""
        return self.path.with_name(self.path.name + ".json")

    def size(self) -> int:
        """Bytes that are here."""
        return self.path.stat().st_size if self.path.exists() else 0

    def condition(self) -> dict[str, str]:
        """Headers that ask for the rest of the same version, and for all of another one."""
        if not self.size():
            return {}
        rest = {"Range": f"bytes={self.size()}-"}
        if self.sha256 is not None:
            return rest
        version = read_json(self.note).get("version")
        return {**rest, "If-Range": version} if isinstance(version, str) else {}

    def begin(self, version: str | None) -> None:
        """Drop what is here: what comes next is the beginning of this version."""
        self.path.write_bytes(b"")
        if self.sha256 is None:
            self.note.write_text(json.dumps({"version": version}), encoding="utf-8")

    def drop(self) -> None:
        """Remove it."""
        self.path.unlink(missing_ok=True)
        self.note.unlink(missing_ok=True)

    def finish(self, url: str, target: Path) -> None:
        """Let it take its place.

        Raises:
            WeightsHashError: It has not the hash that it should have; it is removed.
        """
        if self.sha256 is not None and (actual := sha256_of(self.path)) != self.sha256:
            self.drop()
            raise altered(url, self.sha256, actual)
        os.replace(self.path, target)
        self.note.unlink(missing_ok=True)


def look_up(entry: LockEntry) -> Remote:
    """Ask for the sizes of an entry's files.

    Raises:
        DownloadError: A file is not where the entry says, or its source does not answer.
    """
    sizes: dict[str, int] = {}
    for file in entry.files:
        address = entry.address(file)
        with _explained(address), _open(Address(address), {}, "HEAD") as answer:
            length = answer.headers.get("Content-Length")
        if length is not None and length.isdigit():
            sizes[file.path] = int(length)
    return Remote(None, sizes, {})


def part_of(target: Path) -> Part:
    """What is here of a file that is not whole yet."""
    return Part(target.with_name(f"{target.name}.part"))


def download(address: Address, target: Path, part: Part | None = None) -> None:
    """Fetch a file, from where it stopped, unless it is here; ``target`` is there once it is whole.

    Args:
        address: Where it is.
        target: Where it shall be.
        part: What is here of it, on the same disk as ``target``; :func:`part_of` it, where not given.

    Raises:
        DownloadError: The source does not have the file or does not answer, or the file cannot be written.
        WeightsHashError: It has not the hash of ``part``.
    """
    part = part or part_of(target)
    with _explained(address.url), one_at_a_time(target):
        if not target.is_file():
            _fetch(address, part)
            part.finish(address.url, target)


def _fetch(address: Address, part: Part) -> None:
    for trial in range(TRIES):
        before = part.size()
        try:
            _fetch_rest(address, part)
            return
        except (http.client.HTTPException, ConnectionError, TimeoutError):
            if trial == TRIES - 1 or part.size() <= before:
                raise


def _fetch_rest(address: Address, part: Part) -> None:
    condition = part.condition()
    try:
        answer = _open(address, condition)
    except urllib.error.HTTPError as error:
        if error.code != http.client.REQUESTED_RANGE_NOT_SATISFIABLE:
            raise
        # Nothing is left of it: it is whole, or longer than its source is by now.
        if error.headers.get("Content-Range") != f"bytes */{part.size()}":
            part.drop()
            answer = _open(address, {})
        else:
            return
    with answer:
        if answer.status != http.client.PARTIAL_CONTENT:
            part.begin(answer.headers.get("ETag") or answer.headers.get("Last-Modified"))
        _append(answer, part, address.url.rpartition("/")[2])


def _append(answer: Any, part: Part, name: str) -> None:
    """Write what comes to the end of the part.

    Raises:
        http.client.IncompleteRead: Less came than was announced.
    """
    from huggingface_hub.utils import tqdm  # type: ignore[attr-defined]

    length = answer.headers.get("Content-Length")
    total = part.size() + int(length) if length is not None else None
    look = {"unit": "B", "unit_scale": True, "desc": urllib.parse.unquote(name)}
    bar = tqdm(total=total, initial=part.size(), **look)  # type: ignore[no-untyped-call]
    with part.path.open("ab") as file, contextlib.closing(bar):
        while piece := answer.read(PIECE):
            file.write(piece)
            bar.update(len(piece))
    if total is not None and part.size() < total:
        raise http.client.IncompleteRead(b"", total - part.size())


class _SafeRedirects(urllib.request.HTTPRedirectHandler):
    """Follows a source that sends us elsewhere, but not to where anybody between could answer."""

    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
        if not newurl.startswith(SAFE_ADDRESSES):
            raise absent(req.full_url, f"Its source sends us to {newurl}, which is not https.")
        request = super().redirect_request(req, fp, code, msg, headers, newurl)
        if request is not None and _host(newurl) == _host(req.full_url):
            request.unredirected_hdrs.update(req.unredirected_hdrs)
        return request


def _host(url: str) -> tuple[str, str]:
    parts = urllib.parse.urlsplit(url)
    return parts.scheme, parts.netloc.lower()


def _open(address: Address, headers: Mapping[str, str], method: str = "GET") -> Any:
    request = urllib.request.Request(address.url, headers={**AGENT, **headers}, method=method)
    for name, value in address.own.items():
        request.add_unredirected_header(name, value)
    return urllib.request.build_opener(_SafeRedirects).open(request, timeout=PATIENCE)


@contextlib.contextmanager
def _explained(address: str) -> Iterator[None]:
    try:
        yield
    except urllib.error.HTTPError as error:
        raise absent(address, f"Its source answers {error.code} {error.reason}.") from error
    except (OSError, http.client.HTTPException) as error:
        raise broken_off(address, error) from error
