"""Small JSON files that several processes may write: read whole, replaced whole, one writer at a time."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any


def read_json(path: Path) -> dict[str, Any]:
    """The object in a file; an empty one where the file is absent, unreadable or holds none."""
    try:
        held = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return held if isinstance(held, dict) else {}


def last_object(path: Path) -> dict[str, Any]:
    """The object in the last line of a text, where programs leave it for programs; an empty one if none is.

    Indentation does not matter, nor do empty lines behind it.
    """
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
        held = json.loads(next((line for line in reversed(lines) if line.strip()), ""))
    except (OSError, ValueError):
        return {}
    return held if isinstance(held, dict) else {}


def merge_json(path: Path, changes: Mapping[str, Any]) -> None:
    """Set keys of the object in a file, which is made where there is none; the others stay.

    Readers see the file as it was or as it will be. Two writers wait for one another.

    Raises:
        OSError: The file cannot be written.
    """
    with one_at_a_time(path):
        _replace(path, {**read_json(path), **changes})


@contextmanager
def one_at_a_time(path: Path) -> Iterator[None]:
    """Wait until no other process or thread makes this file. Its folder is made where there is none.

    Raises:
        OSError: The folder cannot be written.
    """
    from huggingface_hub.utils import WeakFileLock  # type: ignore[attr-defined]

    path.parent.mkdir(parents=True, exist_ok=True)
    with WeakFileLock(path.with_name(f".{path.name}.lock")):
        yield


def _replace(path: Path, held: Mapping[str, Any]) -> None:
    text = json.dumps(held, indent=2, sort_keys=True) + "\n"
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        os.replace(name, path)
    except BaseException:
        os.unlink(name)
        raise
