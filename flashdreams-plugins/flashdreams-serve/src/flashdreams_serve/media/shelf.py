"""Where saved videos lie: plain files, in a folder for each session, within a quota."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from flashdreams_serve.host.recording import LogSource, no_log
from flashdreams_serve.media.errors import SavingError, disk_failed, saved_full

log = logging.getLogger(__name__)

MOST_VIDEOS = 999
"""Videos that one session may save."""
_VIDEO = re.compile(r"(\d{4})-[a-z0-9-]+\.mp4")
_PART = ".part"
_STALE_SECONDS = 24 * 3600.0
"""Age at which half a file is of a server that was killed, and not of one that writes beside this one."""


@dataclass(frozen=True)
class SavedVideo:
    """A video on the shelf."""

    name: str
    bytes: int
    saved_at: float
    """Seconds since 1970."""

    def as_tree(self) -> dict[str, Any]:
        """All of it as plain values."""
        return asdict(self)


class Shelf:
    """Saved videos by session, as plain files that stay when the server ends.

    A folder is named by a hash of its session's name, which is a key and cannot be told from it. Files are
    found only among those that lie there under names made here: what a client asks for is compared, and
    never made part of a path. Thread-safe.

    Args:
        folder: Where they lie. It is made when the first is saved. Halves of files in it that a server left
            that was killed are removed.
        most_bytes: Quota over all files in it, with those of earlier servers.
    """

    def __init__(self, folder: Path, most_bytes: int) -> None:
        self._folder = folder
        self._most_bytes = most_bytes
        self._lock = threading.Lock()
        _remove_halves(folder)
        self._used = _bytes_below(folder)
        self.videos = 0
        """How many were saved since it was made."""

    @property
    def used_bytes(self) -> int:
        """Bytes that saved files take."""
        return self._used

    def place(self, session_id: str) -> Path:
        """The folder of a session, whether or not it is there yet."""
        return self._folder / hashlib.sha256(session_id.encode()).hexdigest()[:24]

    def list(self, session_id: str) -> list[SavedVideo]:
        """The videos of a session, the first saved first."""
        found = []
        for entry in self._videos(session_id):
            with suppress(FileNotFoundError):  # deleted meanwhile
                stat = entry.stat()
                found.append(SavedVideo(entry.name, stat.st_size, stat.st_mtime))
        return sorted(found, key=lambda video: video.name)

    def find(self, session_id: str, name: str) -> Path | None:
        """The file of one of a session's videos; None where there is none of that name."""
        return next((Path(entry) for entry in self._videos(session_id) if entry.name == name), None)

    def put(self, session_id: str, label: str, video: bytes, control_log: LogSource = no_log) -> str:
        """Save a video under the next name of its session: the whole of it, or nothing.

        The control log of its rollout lies beside it under the same name, ``.json``: that is for whoever runs
        the server, and for ``flashdreams serve-replay``. Where it cannot be written the video is saved all
        the same.

        Args:
            session_id: The session that it is of.
            label: What it shows, in small letters, digits and hyphens.
            video: The file.
            control_log: Gives it as plain values; None where there is none.

        Returns:
            Its name, such as ``0001-last-30s.mp4``.

        Raises:
            SavingError: The quota or the session's number of videos is reached, or the disk is full
                or failed.
        """
        with self._lock:
            number = 1 + max((_number(entry.name) for entry in self._videos(session_id)), default=0)
            if number > MOST_VIDEOS:
                raise saved_full(f"The session has saved {MOST_VIDEOS} videos.")
            path = self.place(session_id) / f"{number:04}-{label}.mp4"
            self._write(path, video)
            self.videos += 1
        self._try_to_write_log(path.with_suffix(".json"), control_log)
        return path.name

    def _videos(self, session_id: str) -> Iterator[os.DirEntry[str]]:
        with suppress(FileNotFoundError, NotADirectoryError), os.scandir(self.place(session_id)) as entries:
            for entry in entries:
                if _VIDEO.fullmatch(entry.name) and entry.is_file(follow_symlinks=False):
                    yield entry

    def _try_to_write_log(self, path: Path, control_log: LogSource) -> None:
        try:
            tree = control_log()
            if tree is not None:
                data = _as_json(tree)
                with self._lock:
                    self._write(path, data)
        except SavingError as error:
            log.warning("%s was not saved: %s", path.name, error.what)
        except Exception:
            log.exception("%s could not be written", path.name)

    def _write(self, path: Path, data: bytes) -> None:
        before = path.stat().st_size if path.is_file() else 0
        self._check_room(len(data) - before)
        try:
            _write_whole(path, data)
        except OSError as error:
            log.warning("Could not save %s: %s", path, error)
            raise disk_failed(error) from error
        self._used += len(data) - before

    def _check_room(self, size: int) -> None:
        """Refuse what the quota does not hold; files that people have deleted meanwhile count no more."""
        if self._used + size > self._most_bytes:
            self._used = _bytes_below(self._folder)
        if self._used + size > self._most_bytes:
            raise saved_full(f"Saved videos take {self._used} bytes, and this one would take {size} more.")


def _as_json(tree: Mapping[str, Any]) -> bytes:
    return json.dumps(tree, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()


def _write_whole(path: Path, data: bytes) -> None:
    """Write under another name, then rename: nobody sees half a file, and nothing stays of one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + _PART)
    try:
        with part.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except OSError:
        with suppress(OSError):
            part.unlink(missing_ok=True)
        raise


def _remove_halves(folder: Path) -> None:
    for path in folder.glob(f"*/*{_PART}"):
        with suppress(OSError):
            if time.time() - path.lstat().st_mtime > _STALE_SECONDS:
                path.unlink()


def _bytes_below(folder: Path) -> int:
    return sum(size for parent, _, names in os.walk(folder) for name in names for size in _size(parent, name))


def _size(folder: str, name: str) -> Iterator[int]:
    with suppress(OSError):  # deleted meanwhile
        yield os.lstat(os.path.join(folder, name)).st_size


def _number(name: str) -> int:
    return int(name.partition("-")[0])
