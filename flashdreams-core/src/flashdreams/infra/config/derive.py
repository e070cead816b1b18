"""Changed copies of configs."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, TypeVar

from flashdreams.errors import (
    FieldTypeError,
    FieldValueError,
    FlashDreamsError,
    UnknownFieldError,
    did_you_mean,
    nearest,
)
from flashdreams.infra.config.fields import (
    FieldInfo,
    config_fields,
    field_defaults,
    field_values,
    has_target,
    is_config,
)
from flashdreams.infra.config.target import check_target
from flashdreams.infra.config.types import coerce, describe, short

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

_MARKERS = ("_class", "_use")  # of config files

ConfigT = TypeVar("ConfigT", bound="DataclassInstance")


def derive_config(base: ConfigT, /, **changes: Any) -> ConfigT:
    """A deep copy of ``base`` with some fields changed.

    A dict given for a nested config changes fields of it, at any depth. A config given for a nested
    config replaces it. ``base`` stays as it is, and shares nothing with the copy.

    Args:
        base: Any config.
        **changes: Fields to change.

    Raises:
        UnknownFieldError: A name that is no field.
        FieldTypeError: A value of another type than its field's.
        FieldValueError: A value that a config's ``__post_init__`` refuses.
        TargetError: A ``_target`` that is neither a class nor the text "package.module:Class".

    Example:
        >>> variant = derive_config(pipeline_config, encoder=dict(embedding_dim=1024))
    """
    return change_config(base, changes)


def change_config(base: ConfigT, changes: dict[str, Any], where: str = "") -> ConfigT:
    """:func:`derive_config`, with the dotted path of ``base`` for errors."""
    if not is_config(base):
        raise FieldTypeError(
            f"{where or 'base'} is {short(base)}, of type {type(base).__qualname__}.",
            "Only a config can be derived from: an instance of a dataclass.",
            "Pass a config, not its class or name.",
        )
    return _construct(type(base), field_values(base), changes, where)


def config_from_values(cls: type[ConfigT], values: dict[str, Any], where: str = "") -> ConfigT:
    """A config of ``cls`` with some fields set, the others at their defaults.

    Raises:
        ConfigError: As :func:`derive_config`, or a field without a default is left out.
    """
    defaults = field_defaults(cls)
    for info in config_fields(cls):
        if info.name not in defaults and info.name not in values:
            raise FieldValueError(
                f"{_join(where, info.name)} has no value.",
                f"{cls.__qualname__} has no default for {info.name}; it takes {describe(info.type)}.",
                f"Set {_join(where, info.name)}.",
            )
    return _construct(cls, defaults, values, where)


def _construct(cls: type[ConfigT], values: dict[str, Any], changes: dict[str, Any], where: str) -> ConfigT:
    infos = {info.name: info for info in config_fields(cls)}
    changed = {}
    for name, value in changes.items():
        path = _join(where, name)
        if name in infos:
            changed[name] = _changed(values.get(name), infos[name], value, path)
        elif name == "_target" and has_target(cls):
            changed[name] = check_target(value, path)
        else:
            raise _unknown_field(cls, values, name, where)
    kept = copy.deepcopy({name: value for name, value in values.items() if name not in changed})
    return _call(cls, kept | changed, where)


def _changed(current: Any, info: FieldInfo, value: Any, where: str) -> Any:
    if is_config(current) and isinstance(value, dict):
        return change_config(current, value, where)
    return coerce(value, info.type, where, config_from_values)


def _call(cls: type[ConfigT], values: dict[str, Any], where: str) -> ConfigT:
    try:
        return cls(**values)
    except FlashDreamsError as error:
        if where:
            error.what = f"{where}: {error.what}"
            error.args = (error.what, error.right, error.next)
        raise
    except (ValueError, TypeError, AssertionError) as error:
        raise FieldValueError(
            f"{where or cls.__qualname__} has a bad value: {error}.",
            f"{cls.__qualname__} refuses it with {type(error).__name__}.",
            "Correct the fields that it speaks of.",
        ) from error


def _unknown_field(cls: type, values: dict[str, Any], name: Any, where: str) -> UnknownFieldError:
    path = _join(where, name)
    names = [info.name for info in config_fields(cls)]
    hidden = [*["_target"] * has_target(cls), *_MARKERS] if str(name).startswith("_") else []
    elsewhere = sorted(_paths_to(name, values, where))
    match = elsewhere[0] if elsewhere else nearest(str(name), {*names, *hidden} - {name})
    if match is None:
        right = did_you_mean(str(name), names)
    else:
        right = f"Did you mean {match if elsewhere else _join(where, match)!r}?"
    return UnknownFieldError(
        f"{path} is {_kind(cls, name)}.",
        right,
        "Print the config to see its fields.",
    )


def _kind(cls: type, name: Any) -> str:
    member = getattr(cls, name, None) if isinstance(name, str) else None
    if isinstance(member, property):
        return f"a property of {cls.__qualname__}, not a field"
    if callable(member):
        return f"a method of {cls.__qualname__}, not a field"
    return f"no field of {cls.__qualname__}"


def _paths_to(name: Any, values: dict[str, Any], where: str) -> Iterator[str]:
    for key, value in values.items():
        if is_config(value):
            fields = {info.name: getattr(value, info.name) for info in config_fields(value)}
            if name in fields:
                yield _join(_join(where, key), name)
            yield from _paths_to(name, fields, _join(where, key))


def _join(where: str, name: Any) -> str:
    return f"{where}.{name}" if where else str(name)
