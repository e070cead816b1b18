"""The grammar of field types, and what becomes of a value under it.

A field is ``bool``, ``int``, ``float``, ``str``, ``pathlib.Path``, ``None``, ``Literal[...]``, a union of
these, ``list[T]``, ``tuple[T, ...]``, ``tuple[A, B]``, ``dict[str, T]``, or a config class. Under it an
``int`` becomes a float where a float is declared, text becomes a path, and a list becomes a tuple; nothing
else is converted, and a bool is never a number. Any other class is checked with ``isinstance``; such a
field cannot be written to a file.
"""

from __future__ import annotations

import copy
import os
from collections.abc import Callable
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

from flashdreams.errors import ConfigError, FieldTypeError, nearest
from flashdreams.infra.config.fields import field_values, is_config, is_config_class

Build = Callable[[type, "dict[str, Any]", str], Any]
"""Makes a config of a class from a dict of its fields, at a dotted path."""


def coerce(value: Any, type: Any, where: str, build: Build | None = None) -> Any:
    """``value`` as a field of ``type`` holds it: a fresh copy, converted where the grammar converts.

    Args:
        value: What was given.
        type: A type of the grammar.
        where: Dotted path of the field, for errors.
        build: Makes a nested config of a dict; without it a dict is no config.

    Raises:
        FieldTypeError: The value is of another type.
        ConfigError: The type is outside of the grammar.
    """
    try:
        return _convert(value, type, where, build)
    except _Mismatch as mismatch:
        raise mismatch.error() from None


def describe(type: Any) -> str:
    """A type of the grammar as text, such as ``list[int] or None``."""
    if type is NoneType:
        return "None"
    if type is Ellipsis:
        return "..."
    origin, arguments = get_origin(type), get_args(type)
    if origin in (Union, UnionType):
        return _either([describe(member) for member in arguments])
    if origin is Literal:
        return _either([repr(option) for option in arguments])
    if arguments:
        return f"{describe(origin)}[{', '.join(describe(argument) for argument in arguments)}]"
    return getattr(type, "__qualname__", None) or str(type)


def same(one: Any, other: Any) -> bool:
    """Whether two values are equal and of equal types throughout (``1``, ``1.0`` and ``True`` differ)."""
    if type(one) is not type(other):
        return False
    if is_config(one):
        return same(field_values(one), field_values(other))
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    return bool(one == other) or (isinstance(one, float) and one != one and other != other)


def short(value: Any, width: int = 80) -> str:
    """``repr(value)``, cut to ``width`` characters; of a config only its class."""
    text = f"{type(value).__qualname__}(...)" if is_config(value) else repr(value)
    return text if len(text) <= width else text[: width - 3] + "..."


class _Mismatch(Exception):  # noqa: N818 - never leaves this module
    """A value of the wrong type, before a union has made up its mind."""

    def __init__(self, value: Any, wanted: Any, where: str) -> None:
        super().__init__(where)
        self.value, self.wanted, self.where = value, wanted, where

    def error(self) -> FieldTypeError:
        """What the user reads."""
        kind = "" if self.value is None else f", of type {type(self.value).__qualname__}"
        match = nearest(self.value, _literal_texts(self.wanted)) if isinstance(self.value, str) else None
        return FieldTypeError(
            f"{self.where} is {short(self.value)}{kind}.",
            f"It takes {describe(self.wanted)}." + (f" Did you mean {match!r}?" if match else ""),
            f"Give {self.where} such a value" + _hint(self.value, self.wanted),
        )


def _hint(value: Any, wanted: Any) -> str:
    members = type_members(wanted)
    if any(is_config_class(member) for member in members):
        return ", or a dict of its fields."
    if isinstance(value, str) and not {bool, int, float}.isdisjoint(members):
        return ", without quotes."
    return "."


def _either(texts: list[str]) -> str:
    return texts[0] if len(texts) == 1 else f"{', '.join(texts[:-1])} or {texts[-1]}"


def type_members(type: Any) -> tuple[Any, ...]:
    """The members of a union; of any other type, itself."""
    return get_args(type) if get_origin(type) in (Union, UnionType) else (type,)


def _literal_texts(type: Any) -> list[str]:
    literals = [member for member in type_members(type) if get_origin(member) is Literal]
    return [option for literal in literals for option in get_args(literal) if isinstance(option, str)]


def _convert(value: Any, type: Any, where: str, build: Build | None) -> Any:
    origin = get_origin(type)
    if origin in (Union, UnionType):
        return _convert_union(value, type, where, build)
    if origin is Literal:
        return _convert_literal(value, type, where)
    if (convert := _CONTAINERS.get(origin or type)) is not None:
        return convert(value, type, where, build)
    if type in _SCALARS:
        return _SCALARS[type](value, type, where)
    return _convert_instance(value, type, where, build)


def _convert_union(value: Any, type: Any, where: str, build: Build | None) -> Any:
    members = get_args(type)
    if sum(map(is_config_class, members)) > 1:
        build = None  # a dict does not say which of the classes it is meant for
    converted, failures = [], []
    for member in members:
        try:
            converted.append(_convert(value, member, where, build))
        except _Mismatch as mismatch:
            failures.append(mismatch)
    if converted:
        return next((result for result in converted if same(result, value)), converted[0])
    deeper = [failure for failure in failures if failure.where != where]
    raise deeper[0] if deeper else _Mismatch(value, type, where)


def _convert_literal(value: Any, type: Any, where: str) -> Any:
    for option in get_args(type):
        if same(option, value):
            return option
    raise _Mismatch(value, type, where)


def _convert_list(value: Any, type: Any, where: str, build: Build | None) -> Any:
    if not isinstance(value, list):
        raise _Mismatch(value, type, where)
    (element,) = get_args(type) or (Any,)
    return [_convert(item, element, f"{where}[{i}]", build) for i, item in enumerate(value)]


def _convert_tuple(value: Any, type: Any, where: str, build: Build | None) -> Any:
    if not isinstance(value, list | tuple):
        raise _Mismatch(value, type, where)
    elements = get_args(type) if get_origin(type) else (Any, ...)
    if elements[1:] == (...,):
        elements = elements[:1] * len(value)
    if len(elements) != len(value):
        raise _Mismatch(value, type, where)
    return tuple(_convert(item, elements[i], f"{where}[{i}]", build) for i, item in enumerate(value))


def _convert_dict(value: Any, type: Any, where: str, build: Build | None) -> Any:
    if not isinstance(value, dict):
        raise _Mismatch(value, type, where)
    key_type, value_type = get_args(type) or (Any, Any)
    return {
        _convert(key, key_type, f"A key of {where}", build): _convert(
            item, value_type, f"{where}[{key!r}]", build
        )
        for key, item in value.items()
    }


def _convert_instance(value: Any, type: Any, where: str, build: Build | None) -> Any:
    if type is Any:
        return copy.deepcopy(value)
    if not _is_class(type):
        raise ConfigError(
            f"{where} is declared as {describe(type)}, which is no type of a config's field.",
            "A field is bool, int, float, str, Path, None, Literal, a list, tuple, dict or union of these,"
            " or another config.",
            f"Declare {where} as one of these.",
        )
    if isinstance(value, type):
        return copy.deepcopy(value)
    if isinstance(value, dict) and is_config_class(type) and build is not None:
        return build(type, value, where)
    raise _Mismatch(value, type, where)


def _is_class(value: Any) -> bool:
    return isinstance(value, type) and get_origin(value) is None


def _convert_bool(value: Any, type: Any, where: str) -> bool:
    if not isinstance(value, bool):
        raise _Mismatch(value, type, where)
    return value


def _convert_int(value: Any, type: Any, where: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise _Mismatch(value, type, where)
    return int(value)


def _convert_float(value: Any, type: Any, where: str) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise _Mismatch(value, type, where)
    try:
        return float(value)
    except OverflowError:
        raise _Mismatch(value, type, where) from None


def _convert_str(value: Any, type: Any, where: str) -> str:
    if not isinstance(value, str):
        raise _Mismatch(value, type, where)
    return str.__str__(value)


def _convert_path(value: Any, type: Any, where: str) -> Path:
    if not isinstance(value, str | os.PathLike):
        raise _Mismatch(value, type, where)
    return Path(value)


def _convert_none(value: Any, type: Any, where: str) -> None:
    if value is not None:
        raise _Mismatch(value, type, where)


_CONTAINERS = {list: _convert_list, tuple: _convert_tuple, dict: _convert_dict}
_SCALARS = {
    bool: _convert_bool,
    int: _convert_int,
    float: _convert_float,
    str: _convert_str,
    Path: _convert_path,
    NoneType: _convert_none,
}
