"""Files at plain addresses: fetched so that a download that breaks off goes on where it stopped."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flashdreams.io.lock import SAFE_ADDRESSES, LockEntry
from flashdreams.io.small_json import one_at_a_time, read_json
from flashdreams.io.source import PATIENCE, Remote, absent, broken_off

TRIES = 5
"""How often a download goes on by itself after it broke off."""
PIECE = 1 << 20
AGENT = {"User-Agent": "flashdreams", "Accept-Encoding": "identity"}


@dataclass(frozen=True)
class Part:
    """A download that is not whole yet, and which version of its source it is of."""

    path: Path

    @property
    def note(self) -> Path:
        """Where the version is noted."""
        return self.path.with_name(self.path.name + ".json")

    def size(self) -> int:
        """Bytes that are here."""
        return self.path.stat().st_size if self.path.exists() else 0

    def condition(self) -> dict[str, str]:
        """Headers that ask for the rest of the same version, and for all of another one."""
        version = read_json(self.note).get("version")
        if not self.size() or not isinstance(version, str):
            return {}
        return {"Range": f"bytes={self.size()}-", "If-Range": version}

    def begin(self, version: str | None) -> None:
        """Drop what is here: what comes next is the beginning of this version."""
        self.path.write_bytes(b"")
        self.note.write_text(json.dumps({"version": version}), encoding="utf-8")

    def drop(self) -> None:
        """Remove it."""
        self.path.unlink(missing_ok=True)
        self.note.unlink(missing_ok=True)

    def finish(self, target: Path) -> None:
        """Let it take its place."""
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
        with _explained(address), _open(address, {}, "HEAD") as answer:
            length = answer.headers.get("Content-Length")
        if length is not None and length.isdigit():
            sizes[file.path] = int(length)
    return Remote(None, sizes, {})


def part_of(target: Path) -> Part:
    """What is here of a file that is not whole yet."""
    return Part(target.with_name(f"{target.name}.part"))


def download(address: str, target: Path) -> None:
    """Fetch a file, from where it stopped, unless it is here; ``target`` is there once it is whole.

    Raises:
        DownloadError: The source does not have the file or does not answer, or the file cannot be written.
    """
    with _explained(address), one_at_a_time(target):
        if not target.is_file():
            part = part_of(target)
            _fetch(address, part)
            part.finish(target)


def _fetch(address: str, part: Part) -> None:
    for trial in range(TRIES):
        before = part.size()
        try:
            _fetch_rest(address, part)
            return
        except (http.client.HTTPException, ConnectionError, TimeoutError):
            if trial == TRIES - 1 or part.size() <= before:
                raise


def _fetch_rest(address: str, part: Part) -> None:
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
        _append(answer, part)


def _append(answer: Any, part: Part) -> None:
    """Write what comes to the end of the part.

    Raises:
        http.client.IncompleteRead: Less came than was announced.
    """
    from huggingface_hub.utils import tqdm  # type: ignore[attr-defined]

    length = answer.headers.get("Content-Length")
    total = part.size() + int(length) if length is not None else None
    look = {"unit": "B", "unit_scale": True, "desc": part.path.stem}
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
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _open(address: str, headers: Mapping[str, str], method: str = "GET") -> Any:
    request = urllib.request.Request(address, headers={**AGENT, **headers}, method=method)
    return urllib.request.build_opener(_SafeRedirects).open(request, timeout=PATIENCE)


@contextlib.contextmanager
def _explained(address: str) -> Iterator[None]:
    try:
        yield
    except urllib.error.HTTPError as error:
        raise absent(address, f"Its source answers {error.code} {error.reason}.") from error
    except (OSError, http.client.HTTPException) as error:
        raise broken_off(address, error) from error
