"""Files that ``flashdreams bench`` reads and writes, refused before anything is measured. No torch here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from flashdreams.errors import OutputError, UsageError
from flashdreams.io.outputs import free_output
from flashdreams.io.small_json import last_object

BENCHMARK = "bench"
"""What figures in JSON call themselves."""


def earlier_figures(path: Path, slug: str) -> dict[str, Any]:
    """The figures of an earlier run.

    Args:
        path: A document of ``flashdreams bench``, or what it printed.
        slug: What is measured now; an error names a free file after it.

    Raises:
        UsageError: The file cannot be read, or holds no such figures.
    """
    try:
        path.open("rb").close()
    except OSError as error:
        raise _no_figures(f"{path} cannot be read: {error.strerror or error}.", slug) from error
    found = last_object(path)
    if found.get("benchmark") != BENCHMARK:
        raise _no_figures(f"{path} ends with no figures of a benchmark.", slug)
    return found


def check_document(path: Path, slug: str, *, command: str = BENCHMARK) -> None:
    """Refuse a name for a document of ``slug`` where something else would be replaced.

    Args:
        path: The document.
        slug: What is measured.
        command: What measures it, which is also what its figures call themselves.

    Raises:
        OutputError: It is not Markdown; or something is there that is no document of the same slug.
    """
    if path.suffix != ".md":
        raise OutputError(
            f"The document is {path}.", "It is written in Markdown.", f"Name it {path.stem}.md, for instance."
        )
    if (path.exists() or path.is_symlink()) and not _is_document(path, slug, command):
        raise OutputError(
            f"{path} exists already, and is no document that `flashdreams {command} {slug}` wrote.",
            "Only an earlier document of the same slug is replaced.",
            f"Name another file, {_free(slug, command)} for instance.",
        )


def _is_document(path: Path, slug: str, command: str) -> bool:
    found = last_object(path)
    if found.get("benchmark") != command or found.get("slug") != slug:
        return False
    return path.read_text(encoding="utf-8").startswith(f"# {slug}, ")


def _no_figures(what: str, slug: str) -> UsageError:
    return UsageError(
        what,
        "A document of `flashdreams bench`, or what it printed, has them as JSON in its last line.",
        f"Make one with: flashdreams bench {slug} --document {_free(slug)}",
    )


def _free(slug: str, command: str = BENCHMARK) -> Path:
    """A name that nothing has yet, in the folder that the command was called in."""
    return free_output(Path(), f"{slug}-{command}", ".md")
