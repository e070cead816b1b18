"""What the generated pages are put together from."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import itertools
import re
import textwrap
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from flashdreams.infra.config.fields import is_config
from flashdreams.infra.config.types import short

WRITTEN = "<!-- Written by docs/generate.py from the code. Change the code, then run: nox -s docs -->"


class UndocumentedError(Exception):
    """Something public says nothing of itself, so that its page cannot be written."""


def documented(name: str, text: str | None) -> str:
    """The documentation of something, with code marked as Markdown marks it.

    Raises:
        UndocumentedError: There is none.
    """
    if not (text or "").strip():
        raise UndocumentedError(f"{name} has no documentation: write a docstring.")
    return marked(inspect.cleandoc(text or ""))


def own_doc(cls: type) -> str | None:
    """The docstring that somebody wrote for a class: not a parent's, nor the one that dataclasses make."""
    doc: str | None = vars(cls).get("__doc__")
    return None if doc is None or doc.startswith(f"{cls.__name__}(") else doc


def attribute_docs(cls: type) -> dict[str, str]:
    """The text under each attribute that a class declares itself."""
    (node,) = ast.parse(textwrap.dedent(inspect.getsource(cls))).body
    pairs = itertools.pairwise(node.body if isinstance(node, ast.ClassDef) else [])
    return {
        statement.target.id: ast.literal_eval(below.value)
        for statement, below in pairs
        if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name)
        if isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant)
    }


def marked(text: str) -> str:
    """A docstring with its roles and double backquotes as Markdown's code."""
    text = re.sub(r":\w+:`~?([^`]+)`", r"`\1`", text)
    return text.replace("``", "`")


def quoting(text: str, source: str) -> str:
    """Documentation whose examples, indented below ``::``, become blocks that are quoted from a file."""
    return re.sub(
        r"^(.*?)::\n\n((?:    .*\n?|\n)+)",
        lambda found: f"{_before(found[1])}```python source: {source}\n{_dedented(found[2])}\n```\n\n",
        text,
        flags=re.MULTILINE,
    ).rstrip()


def _before(text: str) -> str:
    return f"{text}:\n\n" if text else ""


def _dedented(text: str) -> str:
    return textwrap.dedent(text).strip()


def cell(text: str) -> str:
    """Text as it may stand in a table."""
    return " ".join(text.split()).replace("|", "\\|")


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table, whose cells are ready."""
    lines = [f"| {' | '.join(line)} |" for line in (header, *rows)]
    lines.insert(1, "|" + "---|" * len(header))
    return "\n".join(lines) + "\n"


def code(text: str) -> str:
    """What a command prints, as a block."""
    return f"```text\n{text.rstrip()}\n```\n"


def default(value: Any, required: str = "required") -> str:
    """The default of a field."""
    if value is dataclasses.MISSING:
        return required
    if is_config(value):
        return f"`{type(value).__qualname__}`"
    return f"`{cell(str(value) if isinstance(value, Path) else short(value))}`"


def anchor(heading: str) -> str:
    """The address of a heading within its page, as GitHub and the site make it."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def page(title: str, *blocks: str) -> str:
    """A page of blocks."""
    return "\n".join([f"# {title}\n\n{WRITTEN}\n", *blocks])
