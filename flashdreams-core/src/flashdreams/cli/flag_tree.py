"""The flags of a config: one for each field, nested as the config is."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from flashdreams.infra.config.fields import FieldInfo, config_fields, is_config, is_config_class
from flashdreams.infra.config.types import type_members

_FIXED = frozenset({("runner_name",)})


@dataclass(frozen=True)
class Flag:
    """One field as a flag, ``--pipeline.diffusion-model.scheduler.shift 5.0``."""

    path: tuple[str, ...]
    """Names of the fields that lead to it, its own last."""
    info: FieldInfo
    """The field."""
    value: Any
    """What the config holds there."""

    @property
    def text(self) -> str:
        """The flag as it stands on the line."""
        return flag_text(self.path)

    @property
    def is_part(self) -> bool:
        """Whether the field holds a config: a component, which is swapped as a whole by name."""
        return is_config(self.value) or any(
            is_config_class(member) for member in type_members(self.info.type)
        )

    @property
    def is_empty(self) -> bool:
        """Whether the field would hold a config, but holds None."""
        return self.is_part and self.value is None

    @property
    def is_fixed(self) -> bool:
        """Whether the line cannot change the field."""
        return self.path in _FIXED


@dataclass(frozen=True)
class Group:
    """The flags of one config, and the groups of those nested in it."""

    config: Any
    """The config."""
    doc: str
    """What the config is for: the docstring of the field that holds it."""
    flags: tuple[Flag, ...]
    """A flag for each field."""
    groups: dict[str, Group]
    """A group for each field that holds a config."""

    def all_flags(self) -> Iterator[Flag]:
        """The flags of this group and of those nested in it."""
        yield from self.flags
        for group in self.groups.values():
            yield from group.all_flags()


def flag_tree(config: Any, doc: str = "", path: tuple[str, ...] = ()) -> Group:
    """The flags of ``config``, a config of any class.

    Raises:
        ConfigError: The type of a field cannot be resolved.
    """
    flags = tuple(
        Flag((*path, info.name), info, getattr(config, info.name)) for info in config_fields(config)
    )
    nested = {
        flag.info.name: flag_tree(flag.value, flag.info.doc, flag.path)
        for flag in flags
        if is_config(flag.value)
    }
    return Group(config, doc, flags, nested)


def flag_text(path: tuple[str, ...]) -> str:
    """The flag of the field at ``path``."""
    return "--" + ".".join(path).replace("_", "-")
