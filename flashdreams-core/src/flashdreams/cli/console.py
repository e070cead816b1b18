"""What the command line prints with: errors, tables, help, colours, widths. Plain where it is no terminal."""

from __future__ import annotations

import logging
import shutil
import sys
import textwrap
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from typing import TextIO

from flashdreams import environment
from flashdreams.errors import FlashDreamsError

_NARROWEST = 60
_WIDEST = 120
_GAP = "  "
_LEAST_ROOM = 20


def uses_colour(stream: TextIO) -> bool:
    """Whether ``stream`` is a terminal whose user has not asked for plain text (https://no-color.org)."""
    return stream.isatty() and not environment.wants_plain_text()


def text_width() -> int:
    """Columns to fill: those of the terminal, within what is readable."""
    return max(_NARROWEST, min(_WIDEST, shutil.get_terminal_size().columns))


def readable_width() -> AbstractContextManager[None]:
    """Let who asks for the terminal's width inside see :func:`text_width`; tyro has no argument for it."""
    return environment.exported("COLUMNS", str(text_width()))


def print_error(error: FlashDreamsError) -> None:
    """Print the three parts of an error to stderr, one under the other."""
    label = "error:"
    parts = textwrap.indent(f"{error.what}\n{error.right}\n{error.next}", " " * (len(label) + 1)).lstrip()
    if uses_colour(sys.stderr):
        label = f"\033[1;31m{label}\033[0m"
    print(f"{label} {parts}", file=sys.stderr)


def columns(rows: Iterable[tuple[str, str]], indent: int = 2) -> str:
    """Two columns, the second one wrapped to the width of the terminal."""
    rows = list(rows)
    start = max((len(left) for left, _ in rows), default=0) + indent + 2
    return "\n".join(
        textwrap.fill(
            right,
            text_width(),
            initial_indent=f"{'':{indent}}{left}".ljust(start),
            subsequent_indent=" " * start,
            break_on_hyphens=False,
            break_long_words=False,
        )
        if right
        else f"{'':{indent}}{left}"
        for left, right in rows
    )


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Rows under a header, in columns as wide as they need.

    The last column is folded at the width of the terminal, and stands below the others where they leave
    it no room; where there is no terminal, a row is a line.
    """
    lines = [header, *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(header) - 1)]
    return "\n".join(_row(line, widths) for line in lines)


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """The same for a page in Markdown."""
    lines = [header, ("---",) * len(header), *rows]
    return "\n".join(f"| {' | '.join(cell.strip() for cell in line)} |" for line in lines)


def help_page(usage: str, summary: str, sections: Sequence[tuple[str, Iterable[tuple[str, str]]]]) -> str:
    """The help of a command: usage, what it does, and a table for each section that has rows."""
    blocks = [f"usage: {usage}", textwrap.fill(summary, text_width())]
    tables = [(title, list(rows)) for title, rows in sections]
    blocks += [f"{title}:\n{columns(rows)}" for title, rows in tables if rows]
    return "\n\n".join(blocks)


def counted(number: int, thing: str) -> str:
    """``1 step``, ``2 steps``."""
    return f"{number} {thing}{'' if number == 1 else 's'}"


def set_up_logging(verbosity: int) -> None:
    """Show warnings of the ``logging`` module on stderr; with ``verbosity`` 1 information, with 2 all."""
    logging.basicConfig(format="%(levelname)s %(name)s: %(message)s")
    logging.getLogger().setLevel((logging.WARNING, logging.INFO, logging.DEBUG)[min(verbosity, 2)])


def _row(cells: Sequence[str], widths: Sequence[int]) -> str:
    start = "".join(cell.ljust(width) + _GAP for cell, width in zip(cells[:-1], widths, strict=True))
    if not sys.stdout.isatty():
        return (start + cells[-1]).rstrip()
    room = text_width() - len(start)
    if room < _LEAST_ROOM:
        below = " " * len(_GAP) * 2
        return f"{start.rstrip()}\n{textwrap.indent(_folded(cells[-1], text_width() - len(below)), below)}"
    return (start + textwrap.indent(_folded(cells[-1], room), " " * len(start)).lstrip()).rstrip()


def _folded(text: str, room: int) -> str:
    return textwrap.fill(text, room, break_on_hyphens=False)
