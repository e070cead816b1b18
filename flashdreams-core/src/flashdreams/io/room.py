"""Room on the disks that weights are fetched to. No torch here."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from flashdreams.errors import DownloadError
from flashdreams.io import hub_client, url_client
from flashdreams.io.fetching import fetching
from flashdreams.io.lock import LockedFile, LockEntry
from flashdreams.io.needs import Needs, url_folder, url_target


@dataclass(frozen=True)
class Room:
    """A disk, and what is to be fetched to it."""

    folder: Path
    """A folder of it that files go to."""
    setting: str
    """The environment variable that moves the folder."""
    free: int
    """Bytes that are free."""
    wanted: int
    """Bytes that are to come, as far as their sizes are known."""


def rooms(needs: Iterable[Needs]) -> list[Room]:
    """The disks that missing files go to."""
    found: dict[int, Room] = {}
    for need in needs:
        if need.is_complete:
            continue
        folder, setting = place_of(need)
        existing = next(place for place in (folder, *folder.parents) if place.exists())
        disk, wanted = existing.stat().st_dev, sum(_rest(need, file) for file in need.missing)
        before = found.get(disk, Room(folder, setting, shutil.disk_usage(existing).free, 0))
        found[disk] = Room(before.folder, before.setting, before.free, before.wanted + wanted)
    return list(found.values())


def place_of(need: Needs) -> tuple[Path, str]:
    """The folder that files of an entry go to, and the environment variable that moves it."""
    if need.entry.repo is not None:
        return hub_client.folder(), "HF_HOME"
    return url_folder(need.entry), "FLASHDREAMS_CACHE"


def _rest(need: Needs, file: LockedFile) -> int:
    """Bytes of a file that are still to come: a download that broke off goes on where it stopped."""
    return max(0, (file.bytes or 0) - _begun(need.entry, file))


def _begun(entry: LockEntry, file: LockedFile) -> int:
    if entry.repo is None:
        return url_client.part_of(url_target(entry, file.path)).size()
    return 0 if file.sha256 is None else hub_client.part_of(entry, file.sha256).size()


def check_room(needs: Iterable[Needs]) -> None:
    """Refuse to begin what cannot end for lack of room.

    Raises:
        DownloadError: The files that are missing are larger than the room on their disk.
    """
    for room in rooms(needs):
        if room.wanted > room.free:
            raise DownloadError(
                f"{gigabytes(room.wanted)} are to be fetched to {room.folder}, where {gigabytes(room.free)}"
                " are free.",
                "There must be room for all of it before anything is fetched.",
                f"Free {gigabytes(room.wanted - room.free)}, or set {room.setting} to a folder on a larger"
                f" disk, then: {fetching().command}",
            )


def gigabytes(size: int) -> str:
    """A size for people, in decimal units."""
    for unit, name in ((10**9, "GB"), (10**6, "MB"), (10**3, "kB")):
        if size >= unit:
            return f"{size / unit:.2f} {name}"
    return f"{size} bytes"
