"""The one place where environment variables are read; everybody else is handed their values.

Libraries read their own: huggingface_hub ``HF_HOME`` and ``HF_HUB_OFFLINE``, triton
``TRITON_INTERPRET``, OpenMP ``OMP_NUM_THREADS``.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

VARIABLES = {
    "FLASHDREAMS_CACHE": (
        "Folder for what can be fetched or made again; flashdreams in XDG_CACHE_HOME where it is not set."
    ),
    "FLASHDREAMS_RUNNER_CONFIGS": (
        "Slugs to register without an installation: slug=package.module:NAME, separated by commas."
    ),
    "FLASHDREAMS_TOKEN": (
        "What clients show a server, and what a server asks them for, where neither is told another."
    ),
    "NO_COLOR": "Plain text, whatever its value (https://no-color.org).",
    "TERM": "What the terminal can do; a dumb one, or none, gets plain text.",
    "XDG_CACHE_HOME": "Folder for the caches of all programs; ~/.cache where it is not set.",
}
"""Every environment variable that FlashDreams reads, and what it does."""


def runner_configs() -> str:
    """``FLASHDREAMS_RUNNER_CONFIGS``, or nothing."""
    return os.environ.get("FLASHDREAMS_RUNNER_CONFIGS", "")


def cache_folder() -> Path:
    """Folder for what can be fetched or made again. It may not exist yet.

    ``FLASHDREAMS_CACHE``; without it ``flashdreams`` in ``XDG_CACHE_HOME``, or in ``~/.cache``.
    """
    own = os.environ.get("FLASHDREAMS_CACHE")
    if own:
        return Path(own).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "flashdreams"


def token() -> str | None:
    """``FLASHDREAMS_TOKEN``, or None where it is not set or empty."""
    return os.environ.get("FLASHDREAMS_TOKEN") or None


def wants_plain_text() -> bool:
    """Whether the user or the terminal asks for text without colours."""
    return bool(os.environ.get("NO_COLOR")) or os.environ.get("TERM", "dumb") == "dumb"


@contextmanager
def exported(name: str, value: str) -> Iterator[None]:
    """Set a variable inside, for libraries that can be told in no other way."""
    before = os.environ.get(name)
    os.environ[name] = value
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before
