"""What differs between a config and its base, as a tree of plain values, and back.

A tree is a nested dict of plain values, one key for each field that differs. A nested config of another
class than the base's carries a marker: ``_class: "package.module:Class"``, or ``_use: NAME`` for one that
is registered as a component. Its other keys are what differs from the defaults of that class or component.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import MISSING
from pathlib import Path
from typing import Any

from flashdreams.errors import ConfigError, ConfigFileError
from flashdreams.infra.config.derive import ConfigT, change_config, config_from_values
from flashdreams.infra.config.fields import (
    FieldInfo,
    config_fields,
    field_defaults,
    field_values,
    is_config,
    is_config_class,
)
from flashdreams.infra.config.target import resolve_target, target_text
from flashdreams.infra.config.types import coerce, same, short, type_members

_RESERVED = ("_class", "_use", "_path", "_tuple")

FindComponent = Callable[[str, str], Any]
"""The config of a component, from the dotted path of the field it is for and its name."""
NameComponent = Callable[[str, Any], "tuple[str, Any] | None"]
"""Name and own config of the component that a config was made of, or None, from its path and itself."""


def differences(config: Any, base: Any, name_component: NameComponent | None = None) -> dict[str, Any]:
    """The tree of what differs between ``config`` and ``base``, both of one class.

    Args:
        config: The config to describe.
        base: What :func:`apply_differences` will start from.
        name_component: Names registered components, so that a swapped one is written as ``_use``.

    Raises:
        ConfigFileError: The classes differ, or a value is of a type that no file can hold.
    """
    if type(config) is not type(base):
        raise ConfigFileError(
            f"A {type(config).__qualname__} is compared with a {type(base).__qualname__}.",
            "Differences are taken between two configs of one class.",
            "Compare it with the config that it was derived from.",
        )
    return _Writer(name_component).changes(config, field_values(base), "")


def apply_differences(
    base: ConfigT, tree: dict[str, Any], find_component: FindComponent | None = None
) -> ConfigT:
    """The config that :func:`differences` described; ``base`` stays as it is.

    Args:
        base: The config that the tree was taken against.
        tree: Fields to change, as nested plain values.
        find_component: Finds the config of a component named by ``_use``.

    Raises:
        ConfigError: An unknown field or marker, or a value of the wrong type.
    """
    return change_config(base, {key: _revive(value, str(key), find_component) for key, value in tree.items()})


def resolved(config: Any) -> dict[str, Any]:
    """The tree of all fields. ``_class`` marks a nested config of another class than its field declares.

    Raises:
        ConfigFileError: A value is of a type that no file can hold.
    """
    return _Writer(None).everything(config, "")


class _Writer:
    """Turns configs into trees."""

    def __init__(self, name_component: NameComponent | None) -> None:
        self._name_component = name_component

    def changes(self, config: Any, old: dict[str, Any], where: str) -> dict[str, Any]:
        tree = _target_change(config, old)
        for info in config_fields(config):
            value, path = getattr(config, info.name), _join(where, info.name)
            before = old.get(info.name, MISSING)
            if is_config(value) and type(value) is type(before):
                if nested := self.changes(value, field_values(before), path):
                    tree[info.name] = nested
            elif not same(value, before):
                tree[info.name] = self._leaf(value, info, path)
        return tree

    def everything(self, config: Any, where: str) -> dict[str, Any]:
        tree = _target_change(config, field_defaults(type(config)))
        for info in config_fields(config):
            value, path = getattr(config, info.name), _join(where, info.name)
            if is_config(value):
                tree[info.name] = {**_marker(value, info), **self.everything(value, path)}
            else:
                tree[info.name] = self._leaf(value, info, path)
        return tree

    def _leaf(self, value: Any, info: FieldInfo, where: str) -> Any:
        plain = self._plain(value, where)
        if _reads_back(plain, value, info, where):
            return plain
        tagged = self._plain(value, where, tag=True)
        return tagged if _reads_back(tagged, value, info, where) else plain

    def _plain(self, value: Any, where: str, tag: bool = False) -> Any:
        if is_config(value):
            return self._marked(value, where)
        if isinstance(value, Path):
            return {"_path": str(value)} if tag else str(value)
        if isinstance(value, list | tuple):
            items = [self._plain(item, f"{where}[{i}]", tag) for i, item in enumerate(value)]
            return {"_tuple": items} if tag and isinstance(value, tuple) else items
        if isinstance(value, dict):
            return {
                _key(key, where): self._plain(item, f"{where}[{key!r}]", tag) for key, item in value.items()
            }
        return _scalar(value, where)

    def _marked(self, config: Any, where: str) -> dict[str, Any]:
        named = self._name_component(where, config) if self._name_component else None
        if named is not None and type(named[1]) is type(config):
            return {"_use": named[0], **self.changes(config, field_values(named[1]), where)}
        cls = type(config)
        return {"_class": target_text(cls), **self.changes(config, field_defaults(cls), where)}


def _target_change(config: Any, old: dict[str, Any]) -> dict[str, Any]:
    target = getattr(config, "_target", None)
    if same(target, old.get("_target")):
        return {}
    return {"_target": {"_class": target_text(target)} if isinstance(target, type) else target}


def _marker(config: Any, info: FieldInfo) -> dict[str, str]:
    cls = type(config)
    try:
        declared = type_members(info.type)
    except ConfigError:
        declared = ()
    # A class inside a function has no name to load it by: its fields then load onto a base that holds it.
    if [member for member in declared if is_config_class(member)] == [cls] or "<locals>" in cls.__qualname__:
        return {}
    return {"_class": target_text(cls)}


def _reads_back(tree: Any, value: Any, info: FieldInfo, where: str) -> bool:
    try:
        return same(coerce(_revive(tree, where, None), info.type, where, config_from_values), value)
    except ConfigError:
        return False


def _scalar(value: Any, where: str) -> Any:
    for kind in (bool, int, float, str):
        if isinstance(value, kind):
            return str.__str__(value) if kind is str else kind(value)
    if value is None:
        return None
    raise ConfigFileError(
        f"{where} is {short(value)}, of type {type(value).__qualname__}, which no file can hold.",
        "A file holds numbers, text, True, False, None, paths, lists, tuples, dicts and configs.",
        f"Declare {where} as one of these.",
    )


def _key(key: Any, where: str) -> str:
    if isinstance(key, str) and key not in _RESERVED:
        return key
    raise ConfigFileError(
        f"{where} has the key {key!r}.",
        f"In a file each key is text, and none of {', '.join(_RESERVED)}.",
        "Rename the key.",
    )


def _revive(value: Any, where: str, find_component: FindComponent | None) -> Any:
    if isinstance(value, list):
        return [_revive(item, f"{where}[{i}]", find_component) for i, item in enumerate(value)]
    if not isinstance(value, dict):
        return value
    fields = {key: _revive(item, _join(where, key), find_component) for key, item in value.items()}
    if "_use" in fields:
        return change_config(_find(fields.pop("_use"), where, find_component), fields, where)
    if "_class" in fields:
        cls = resolve_target(fields.pop("_class"), f"The _class of {where}")
        return cls if where.endswith("_target") else _create(cls, fields, where)
    if len(fields) == 1 and "_path" in fields:
        return Path(fields["_path"])
    if len(fields) == 1 and "_tuple" in fields:
        return tuple(fields["_tuple"])
    return fields


def _create(cls: Any, fields: dict[str, Any], where: str) -> Any:
    if is_config_class(cls):
        return config_from_values(cls, fields, where)
    raise ConfigFileError(
        f"The _class of {where} is {target_text(cls)!r}, which is no config class.",
        "A _class names a dataclass that describes a component.",
        "Name the config of the component, not the component.",
    )


def _find(name: Any, where: str, find_component: FindComponent | None) -> Any:
    if find_component is None:
        raise ConfigFileError(
            f"{where} uses the component {name!r}.",
            "Components are known by name only where a registry is at hand.",
            'Pass find_component, or write _class: "package.module:Class".',
        )
    return find_component(where, name)


def _join(where: str, name: Any) -> str:
    return f"{where}.{name}" if where else str(name)
