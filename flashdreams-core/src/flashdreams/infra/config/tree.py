"""Configs as readable trees."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from flashdreams.infra.config.fields import config_fields, field_defaults, has_target, is_config
from flashdreams.infra.config.types import same, short

_LONGEST_LIST = 8


def format_config(config: Any) -> str:
    """The config as text: one field a line, values in one column, nested configs indented under theirs."""
    rows = list(_rows(config, 1))
    column = max((len(label) for label, _ in rows), default=0) + 2
    lines = [f"{label:<{column}}{value}" for label, value in rows]
    return "\n".join([type(config).__qualname__, *lines])


def _rows(config: Any, depth: int) -> Iterator[tuple[str, str]]:
    if _has_other_target(config):
        yield "  " * depth + "_target", _plain_text(config._target)
    for info in config_fields(config):
        yield from _value_rows(info.name, getattr(config, info.name), depth)


def _value_rows(name: str, value: Any, depth: int) -> Iterator[tuple[str, str]]:
    label = "  " * depth + name
    if is_config(value):
        yield label, type(value).__qualname__
        yield from _rows(value, depth + 1)
    elif isinstance(value, list | tuple) and any(map(is_config, value)):
        yield label, f"{type(value).__name__} of {len(value)}"
        for i, item in enumerate(value):
            yield from _value_rows(f"[{i}]", item, depth + 1)
    else:
        yield label, _plain_text(value)


def _plain_text(value: Any) -> str:
    if isinstance(value, type):
        return value.__qualname__
    if isinstance(value, list | tuple) and len(value) > _LONGEST_LIST:
        first = ", ".join(short(item) for item in value[:3])
        text = f"{first}, ..., {short(value[-1])}"
        return f"{'[' + text + ']' if isinstance(value, list) else '(' + text + ')'}  ({len(value)} items)"
    return repr(str(value)) if hasattr(value, "__fspath__") else short(value)


def _has_other_target(config: Any) -> bool:
    cls = type(config)
    return has_target(cls) and not same(config._target, field_defaults(cls).get("_target"))
