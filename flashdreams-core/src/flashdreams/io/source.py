"""What sources of weights have in common: what they tell, and how they fail."""

from __future__ import annotations

import errno
from dataclasses import dataclass

from flashdreams.errors import DownloadError, WeightsHashError
from flashdreams.io.fetching import fetching

PATIENCE = 10.0
"""Seconds to wait for a source to begin its answer."""


@dataclass(frozen=True)
class Remote:
    """What a source says that it holds."""

    revision: str | None
    """The commit, on the hub."""
    sizes: dict[str, int]
    """Bytes of its files, by their paths; a source may not tell them all."""
    hashes: dict[str, str]
    """SHA-256 of those of which the source tells it: on the hub, of large files."""
    paths: frozenset[str] | None = None
    """All its files; None where a source does not tell them."""


def broken_off(what: str, error: Exception) -> DownloadError:
    """The error where a source does not answer, or a download stops before its end."""
    wrong = f"{what} cannot be fetched: {_cause(error)}."
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return DownloadError(wrong, "There was more room when it began.", f"Make room, then: {_command()}")
    if isinstance(error, OSError) and error.filename is not None:
        return DownloadError(
            wrong,
            "The folder that weights are kept in must be there to be written.",
            f"Make it writable, or set FLASHDREAMS_CACHE and HF_HOME to folders that are, then: {_command()}",
        )
    return DownloadError(
        wrong,
        "The source of the weights was expected to answer.",
        f"Check the network, then go on: {_command()}",
    )


def absent(what: str, hint: str) -> DownloadError:
    """The error where a source answers, and does not have what was asked for."""
    return DownloadError(
        f"{what} cannot be fetched.",
        hint,
        f"Update the package whose lock file names it, or try later: {_command()}",
    )


def denied(what: str, page: str) -> DownloadError:
    """The error where a source has it, and gives it to some only."""
    return DownloadError(
        f"{what} cannot be fetched: its owner asks who you are.",
        "The hub gives it to accounts that have accepted its terms.",
        f"Accept them at {page}, log in with `hf auth login`, then: {_command()}",
    )


def altered(what: str, expected: str, actual: str) -> WeightsHashError:
    """The error where what came is not what its source told: the source, the way or the disk altered it."""
    error = WeightsHashError(
        f"{what} came with the SHA-256 {actual[:12]}...",
        f"Its source tells that it is {expected[:12]}...",
        f"It was deleted again; try: {_command()}",
    )
    error.expected, error.actual = expected, actual
    return error


def _command() -> str:
    return fetching().command


def _cause(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0].rstrip('.')}" if lines else type(error).__name__
