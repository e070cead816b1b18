"""``--use kind=name``: another component in place of one, before the flags of its fields are read."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any, TypeVar

from flashdreams.cli.flag_tree import Flag, flag_tree
from flashdreams.cli.options import looks_like_flag
from flashdreams.errors import FieldTypeError, UnknownFieldError, UsageError, did_you_mean
from flashdreams.infra.config.types import coerce, describe
from flashdreams.plugins.naming import finder
from flashdreams.plugins.registry import Registry

ConfigT = TypeVar("ConfigT")


def take_swaps(
    config: ConfigT, uses: Sequence[str], words: Sequence[str], registry: Registry
) -> tuple[ConfigT, list[str]]:
    """Swap the components that the line names, and take those flags off the line.

    Args:
        config: What to swap in; stays as it is.
        uses: ``kind=name`` each: a field that holds a component, and a component by its name.
        words: The rest of the line, where ``--pipeline.decoder NAME`` says the same.
        registry: Where components are looked up.

    Returns:
        A copy that is not validated yet, since the line may still change fields beside the new
        component; and the words that are left.

    Raises:
        UsageError: A use that does not read ``kind=name``.
        UnknownFieldError: No field of that kind, or several.
        UnknownComponentError: No component of that name.
        FieldTypeError: The component does not fit the field.
    """
    draft = copy.deepcopy(config)
    for use in uses:
        kind, equals, name = use.partition("=")
        if not (kind and equals and name):
            raise UsageError(
                f"--use {use!r} names no component.",
                "It reads --use kind=name, such as --use decoder=NAME.",
                "See kinds and names with: flashdreams components",
            )
        _swap(draft, _find_part(draft, kind), name, registry)
    return draft, _take_part_flags(draft, list(words), registry)


def _take_part_flags(draft: Any, words: list[str], registry: Registry) -> list[str]:
    left: list[str] = []
    parts = _parts(draft)
    while words:
        word = words.pop(0)
        text, equals, name = word.partition("=")
        part = next((part for part in parts if part.text == text.replace("_", "-")), None)
        if part is None:
            left.append(word)
            continue
        if not equals and (not words or looks_like_flag(words[0])):
            raise UsageError(
                f"{part.text} names no component.",
                f"It reads {part.text} NAME.",
                "See the names with: flashdreams components",
            )
        _swap(draft, part, name if equals else words.pop(0), registry)
        parts = _parts(draft)
    return left


def _parts(config: Any) -> list[Flag]:
    return [flag for flag in flag_tree(config).all_flags() if flag.is_part]


def _find_part(config: Any, kind: str) -> Flag:
    parts = _parts(config)
    wanted = kind.replace("-", "_")
    found = [part for part in parts if wanted in (part.info.name, ".".join(part.path))]
    if len(found) == 1:
        return found[0]
    if found:
        raise UnknownFieldError(
            f"{kind!r} is the name of {len(found)} fields.",
            "They are " + ", ".join(".".join(part.path) for part in found) + ".",
            "Name the one you mean by its whole path.",
        )
    raise UnknownFieldError(
        f"--use {kind}=...: no field {kind!r} holds a component.",
        did_you_mean(wanted, [part.info.name for part in parts]),
        "Name a field of the config, or its dotted path.",
    )


def _swap(draft: Any, part: Flag, name: str, registry: Registry) -> None:
    where = ".".join(part.path)
    component = None if name == "None" else finder(registry)(where, name)
    try:
        fitting = coerce(component, part.info.type, where)
    except FieldTypeError as error:
        raise FieldTypeError(
            f"{where} cannot be {name!r}, which is {_kind_of(component)}.",
            f"It takes {describe(part.info.type)}.",
            "See what there is with: flashdreams components",
        ) from error
    owner = draft
    for field in part.path[:-1]:
        owner = getattr(owner, field)
    setattr(owner, part.info.name, fitting)


def _kind_of(component: Any) -> str:
    return "nothing" if component is None else f"a {type(component).__qualname__}"
