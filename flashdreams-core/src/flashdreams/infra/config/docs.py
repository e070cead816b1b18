"""Docs of fields: the string literal under a field is its docstring."""

from __future__ import annotations

import ast
import functools
import inspect
import itertools


def field_doc(cls: type, name: str) -> str:
    """Docstring of a field: that of the first class along the MRO which gives one, else ``""``."""
    return next((docs[name] for docs in map(_own_docs, cls.__mro__) if name in docs), "")


@functools.lru_cache(maxsize=1024)
def _own_docs(cls: type) -> dict[str, str]:
    docs: dict[str, str] = {}
    body = _class_body(cls)
    for statement, follower in itertools.pairwise(body):
        if (
            isinstance(statement, ast.AnnAssign)
            and isinstance(statement.target, ast.Name)
            and isinstance(follower, ast.Expr)
            and isinstance(follower.value, ast.Constant)
            and isinstance(follower.value.value, str)
        ):
            docs[statement.target.id] = inspect.cleandoc(follower.value.value).strip()
    return docs


def _class_body(cls: type) -> list[ast.stmt]:
    if "__dataclass_fields__" not in vars(cls):
        return []
    try:
        source = inspect.getsource(cls)
        # A class inside a function is indented: a block of its own makes that legal, where dedenting
        # would break on a docstring whose lines stand further left.
        (block,) = ast.parse("if True:\n" + source if source[0].isspace() else source).body
    except (OSError, TypeError, SyntaxError, ValueError, IndexError):
        return []
    node = block.body[0] if isinstance(block, ast.If) else block
    return node.body if isinstance(node, ast.ClassDef) else []
