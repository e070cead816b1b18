"""``flashdreams cache``: the compiled code that is kept on this machine."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flashdreams.cli.console import counted, help_page, table
from flashdreams.cli.options import HELP, JSON, option_rows, take_options
from flashdreams.errors import ArtefactError, OutputError, UsageError, did_you_mean
from flashdreams.io.artefacts import Artefact, ArtefactStore
from flashdreams.io.room import gigabytes

SUMMARY = "List, export, import or clear compiled code, which later runs start with."


@dataclass(frozen=True)
class _Action:
    help: str
    run: Callable[..., Any]
    """Called with the store, and with the file where it takes one; returns what is told."""
    takes_file: bool = False


def main(argv: Sequence[str]) -> int:
    """Do one thing with the compiled code of this machine.

    Raises:
        FlashDreamsError: Something that the user can put right.
    """
    taken, words = take_options(argv, (JSON, HELP))
    if HELP.name in taken:
        print(_help())
        return 0
    action, file = _understood(words)
    told = action.run(ArtefactStore(), *file)
    print(json.dumps(told, indent=2) if JSON.name in taken else _text(told))
    return 0


def _understood(words: Sequence[str]) -> tuple[_Action, list[Path]]:
    name, rest = (words[0], words[1:]) if words else ("list", [])
    if name not in ACTIONS:
        raise UsageError(
            f"`flashdreams cache` does not take {name!r}.",
            did_you_mean(name, ACTIONS),
            "See `flashdreams cache --help`.",
        )
    action = ACTIONS[name]
    if len(rest) != action.takes_file:
        wants = "one FILE" if action.takes_file else "nothing more"
        raise UsageError(
            f"`flashdreams cache {name}` was given {' '.join(map(repr, rest)) or 'nothing more'}.",
            f"It takes {wants}.",
            "See `flashdreams cache --help`.",
        )
    return action, [Path(word) for word in rest]


def _list(store: ArtefactStore) -> dict[str, Any]:
    told = [_told(entry) for entry in store.entries()]
    return {"folder": str(store.folder), "did": "", "artefacts": told, "scratch": store.scratch_bytes()}


def _clear(store: ArtefactStore) -> dict[str, Any]:
    try:
        scratch = store.scratch_bytes()
        gone = store.clear()
        left = store.scratch_bytes()
    except OSError as error:
        raise ArtefactError(
            f"{store.folder} cannot be deleted: {error.strerror or error}.",
            "A folder of your own that no other run is writing to was expected.",
            "Run it again when other runs have ended, or delete the folder by hand.",
        ) from error
    told = [_told(entry) for entry in gone]
    sizes = {"scratch": max(0, scratch - left), "scratch_in_use": left}
    return {"folder": str(store.folder), "did": "Deleted", "artefacts": told, **sizes}


def _export(store: ArtefactStore, file: Path) -> dict[str, Any]:
    try:
        written = store.export_to(file)
    except OSError as error:
        raise OutputError(
            f"{file} cannot be written: {error.strerror or error}.",
            "A file in a folder that exists and has room was expected.",
            "Name another file.",
        ) from error
    did = f"Exported to {file}"
    return {"folder": str(store.folder), "did": did, "artefacts": [_told(entry) for entry in written]}


def _import(store: ArtefactStore, file: Path) -> dict[str, Any]:
    try:
        added = store.import_from(file)
    except OSError as error:
        raise ArtefactError(
            f"{store.folder} cannot be written: {error.strerror or error}.",
            "Compiled code is kept there.",
            "Set FLASHDREAMS_CACHE to a folder with room.",
        ) from error
    told = [_told(entry) for entry in store.entries() if added.get(entry.key)]
    here = [key for key, is_new in added.items() if not is_new]
    return {
        "folder": str(store.folder),
        "did": f"Imported from {file}",
        "artefacts": told,
        "already_here": here,
    }


def _told(entry: Artefact) -> dict[str, Any]:
    known = ("for", "region", "shapes", "device", "form", "versions")
    own = {"key": entry.key, "bytes": entry.size, "made": round(entry.made)}
    return {**own, **{name: entry.facts.get(name) for name in known}}


def _text(told: dict[str, Any]) -> str:
    artefacts = told["artefacts"]
    count = counted(len(artefacts), "artefact")
    total = gigabytes(sum(artefact["bytes"] for artefact in artefacts))
    did = f"{told['did']}: {count}" if told["did"] else count
    last = "\n".join([f"{did}, {total}, in {told['folder']}.", *_notes(told)])
    rows = [_row(artefact) for artefact in artefacts]
    return "\n".join(
        [table(("KEY", "SIZE", "AGE", "DEVICE", "TORCH", "FOR"), rows), last] if rows else [last]
    )


def _notes(told: dict[str, Any]) -> list[str]:
    """What else is to be said, a line each."""
    notes = []
    if told.get("already_here"):
        here = len(told["already_here"])
        notes.append(
            f"{counted(here, 'artefact')} of the file {'was' if here == 1 else 'were'} here already."
        )
    if told.get("scratch"):
        what = f"{gigabytes(told['scratch'])} of scratch that compiling left there"
        notes.append(
            f"{what} is deleted too." if told["did"] else f"{what}; `flashdreams cache clear` deletes it too."
        )
    if told.get("scratch_in_use"):
        kept = gigabytes(told["scratch_in_use"])
        notes.append(f"{kept} of scratch stayed: something is being compiled right now. Clear again later.")
    return notes


def _age(seconds: float) -> str:
    """An age for people: ``< 1 min``, ``5 min``, ``3 h``, ``10 days``."""
    for size, name in ((172800, "days"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds // (86400 if name == 'days' else size):.0f} {name}"
    return "< 1 min"


def _row(artefact: dict[str, Any]) -> tuple[str, ...]:
    told = artefact["versions"]
    versions = told if isinstance(told, dict) else {}
    what = f"{artefact['region']} of {artefact['for'] or 'a pipeline'}"
    size, device = gigabytes(artefact["bytes"]), str(artefact["device"])
    age = _age(max(0.0, time.time() - artefact["made"]))
    return artefact["key"][:12], size, age, device, str(versions.get("torch")), what


def _help() -> str:
    usage = "flashdreams cache [list | export FILE | import FILE | clear] [options]"
    actions = [
        (f"{name} FILE" if action.takes_file else name, action.help) for name, action in ACTIONS.items()
    ]
    return help_page(usage, SUMMARY, [("actions", actions), ("options", option_rows([JSON]))])


ACTIONS = {
    "list": _Action("Show what is kept, the default.", _list),
    "export": _Action("Write all of it to a file, for machines like this one.", _export, takes_file=True),
    "import": _Action("Take up such a file. It holds programs: trust who made it.", _import, takes_file=True),
    "clear": _Action("Delete all of it; it is made again when it is needed.", _clear),
}
"""What can be done."""
