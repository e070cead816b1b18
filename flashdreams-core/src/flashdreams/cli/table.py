"""A plain table: cheap to make, easy to read, easy to cut."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Sequence

from flashdreams.cli.console import text_width

_GAP = "  "
_NARROWEST = 20


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Rows under a header, in columns as wide as they need.

    The last column is folded at the width of the terminal; where there is none, a row is a line.
    """
    lines = [header, *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(header) - 1)]
    return "\n".join(_line(line, widths) for line in lines)


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    start = "".join(cell.ljust(width) + _GAP for cell, width in zip(cells[:-1], widths, strict=True))
    room = text_width() - len(start)
    if not sys.stdout.isatty() or room < _NARROWEST:
        return (start + cells[-1]).rstrip()
    folded = textwrap.wrap(cells[-1], room, break_on_hyphens=False) or [""]
    return "\n".join((" " * len(start) if n else start) + part for n, part in enumerate(folded)).rstrip()
