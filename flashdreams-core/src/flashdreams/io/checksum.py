"""SHA-256 of files."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path


def sha256_of(path: str | Path) -> str:
    """SHA-256 of a file, 64 hexadecimal digits. The file is read in pieces.

    Raises:
        OSError: The file cannot be read.
    """
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def hashes_of(names: Iterable[str | Path]) -> dict[str, str]:
    """SHA-256 of each name that is a file; other names are left out."""
    return {str(name): sha256_of(name) for name in names if name and os.path.isfile(name)}
