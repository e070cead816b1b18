"""``flashdreams download SLUG``: show what a slug needs, then fetch what of it is not here."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from flashdreams.cli.console import counted
from flashdreams.cli.options import JSON, OFFLINE, Option, stdout_kept
from flashdreams.cli.request import SlugCommand
from flashdreams.errors import DownloadError
from flashdreams.io.fetching import fetching_for, is_offline, offline
from flashdreams.io.hub import obtain, trust_note
from flashdreams.io.lock import LockedFile, references_of
from flashdreams.io.needs import Needs, ask_source, needs_of, told
from flashdreams.io.room import check_room, gigabytes, rooms
from flashdreams.io.source import Remote

SUMMARY = "Show which weights a slug needs, then fetch those that are not here."

DRY_RUN = Option("--dry-run", "Show what is needed, and fetch nothing.")
COMMAND = SlugCommand("download", SUMMARY, (DRY_RUN, OFFLINE, JSON))


def main(argv: Sequence[str]) -> int:
    """Show what the line's slug needs, and fetch it unless the line says otherwise.

    Raises:
        FlashDreamsError: Something that the user can put right.
    """
    request = COMMAND.read(argv)
    if request is None:
        return 0
    options = request.options.keys()
    with fetching_for(request.slug), offline(OFFLINE.name in options):
        with stdout_kept():
            references = references_of(request.config)
        needs, refusal = _looked_up([needs_of(reference) for reference in references])
        if JSON.name not in options:
            print(_tree(request.slug, needs))
        paths = {} if DRY_RUN.name in options else _fetch_all(needs, refusal)
    if JSON.name in options:
        print(json.dumps(_document(request.slug, needs, paths), indent=2))
    return 0


def _looked_up(needs: Sequence[Needs]) -> tuple[list[Needs], DownloadError | None]:
    """The same with what sources tell of what is missing, and the first source that told nothing."""
    answers: dict[str, Remote | DownloadError] = {}
    for need in needs:
        source = _asked(need)
        if source not in answers and not need.is_complete and not is_offline():
            answers[source] = _answer(need)
    refusals = [answer for answer in answers.values() if isinstance(answer, DownloadError)]
    for refusal in refusals:
        print(refusal.what, refusal.right, file=sys.stderr)
    return [_told(need, answers.get(_asked(need))) for need in needs], next(iter(refusals), None)


def _asked(need: Needs) -> str:
    """What is asked once: a repository tells all that it holds, an address only what was asked for."""
    return need.entry.reference if need.entry.repo is None else need.entry.source


def _answer(need: Needs) -> Remote | DownloadError:
    try:
        return ask_source(need)
    except DownloadError as error:
        return error


def _told(need: Needs, answer: Remote | DownloadError | None) -> Needs:
    return told(need, answer) if isinstance(answer, Remote) else need


def _fetch_all(needs: Sequence[Needs], refusal: DownloadError | None) -> dict[str, str]:
    """Where the weights of each entry are, once they are."""
    if refusal is not None:
        raise refusal
    check_room(needs)
    paths = {}
    for need in needs:
        obtained = obtain(need.entry.reference)
        paths[need.entry.reference] = str(obtained.path)
        for file in obtained.trusted:
            print(trust_note(need.entry.reference, file), file=sys.stderr)
    return paths


def _tree(slug: str, needs: Sequence[Needs]) -> str:
    if not needs:
        return f"{slug} needs no download."
    return "\n".join([f"{slug} needs:", *(line for need in needs for line in _branch(need)), *_totals(needs)])


def _branch(need: Needs) -> Iterator[str]:
    entry = need.entry
    yield f"  {entry.reference} from {entry.source} ({entry.licence or 'licence not known'})"
    for file in entry.files:
        state = "here" if file.path in need.here else "to fetch"
        note = "" if file.path in need.pinned else " *"
        yield f"    {_size(need.size(file)):>12}  {state:<8}  {file.path}{note}"
    if need.has_unknown_shards:
        yield f"    {_size(None):>12}  to fetch  the shards that the index names *"


def _size(size: int | None) -> str:
    return "size unknown" if size is None else gigabytes(size)


def _totals(needs: Sequence[Needs]) -> Iterator[str]:
    if any(file.path not in need.pinned for need in needs for file in need.entry.files):
        yield "* No lock file tells its SHA-256 yet: the first download is trusted, later ones must match it."
    missing = [(need, file) for need in needs for file in need.missing]
    if not missing:
        yield f"All of it is here: {_sum(need.size(file) for need in needs for file in need.entry.files)}."
        return
    yield f"To fetch: {_sum(need.size(file) for need, file in missing)}."
    for room in rooms(needs):
        yield f"Free in {room.folder}: {gigabytes(room.free)}."


def _sum(sizes: Iterable[int | None]) -> str:
    sizes = list(sizes)
    unknown = sizes.count(None)
    total = gigabytes(sum(size or 0 for size in sizes))
    rest = f"{counted(unknown, 'file')} of unknown size"
    return " and ".join([*([total] if unknown < len(sizes) else []), *([rest] if unknown else [])])


def _document(slug: str, needs: Sequence[Needs], paths: dict[str, str]) -> dict[str, Any]:
    return {"slug": slug, "entries": [_described(need, paths) for need in needs]}


def _described(need: Needs, paths: dict[str, str]) -> dict[str, Any]:
    entry = need.entry
    return {
        "reference": entry.reference,
        "repo": entry.repo,
        "revision": entry.revision,
        "url": entry.url,
        "licence": entry.licence,
        "path": paths.get(entry.reference),
        "files": [_described_file(need, file) for file in entry.files],
    }


def _described_file(need: Needs, file: LockedFile) -> dict[str, Any]:
    local = need.here.get(file.path)
    return {
        "path": file.path,
        "bytes": need.size(file),
        "sha256": file.sha256,
        "pinned": file.path in need.pinned,
        "here": None if local is None else str(local),
    }
