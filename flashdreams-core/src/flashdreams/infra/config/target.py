"""Lazy targets: a class, or the text ``"package.module:Class"`` that names one."""

from __future__ import annotations

import functools
import importlib
from typing import Any

from flashdreams.errors import TargetError


def check_target(target: Any, where: str = "_target") -> Any:
    """``target`` itself, where it is a class or reads like the name of one. Nothing is imported.

    Raises:
        TargetError: It is neither.
    """
    if isinstance(target, type):
        return target
    if not isinstance(target, str):
        raise TargetError(
            f"{where} is {target!r}, which is no class.",
            'A target is a class or the text "package.module:Class".',
            f"Set {where} to one of these.",
        )
    module, _, attribute = target.partition(":")
    if not all(name.isidentifier() for name in (*module.split("."), *attribute.split("."))):
        raise TargetError(
            f"{where} {target!r} names no class.",
            'A lazy target reads "package.module:Class".',
            f"Correct {where}; a class that is defined inside a function has no such name.",
        )
    return target


def resolve_target(target: Any, where: str = "_target") -> Any:
    """The class that ``target`` is or names.

    Raises:
        TargetError: The text is malformed, its module or attribute does not exist, or is no class.
    """
    if isinstance(check_target(target, where), type):
        return target
    module_name, _, attribute = target.partition(":")
    try:
        module = importlib.import_module(module_name)
        found = functools.reduce(getattr, attribute.split("."), module)
    except (ImportError, AttributeError) as error:
        raise TargetError(
            f"{where} {target!r} cannot be imported: {error}.",
            "Its module must be installed and define that class.",
            f'Try it yourself: python -c "import {module_name}"',
        ) from error
    if not isinstance(found, type):
        raise TargetError(
            f"{where} {target!r} is {type(found).__name__} {found!r}, which is no class.",
            'A lazy target "package.module:Class" names a class.',
            f"Correct {where}.",
        )
    return found


def target_text(target: type[Any]) -> str:
    """The text ``"package.module:Class"`` of a class."""
    return f"{target.__module__}:{target.__qualname__}"
