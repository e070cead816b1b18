"""What fields a config has: name, type, docstring and default of each."""

from __future__ import annotations

import builtins
import dataclasses
import sys
from dataclasses import MISSING, dataclass
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, TypeGuard, get_type_hints

from flashdreams.errors import ConfigError
from flashdreams.infra.config.docs import field_doc

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

_Class = type[Any]
_Field = dataclasses.Field[Any]


@dataclass(frozen=True)
class FieldInfo:
    """One field of a config class."""

    config_class: _Class
    """The class it is a field of."""
    field: _Field
    """The field as :mod:`dataclasses` has it."""

    @property
    def name(self) -> str:
        """Its name."""
        return self.field.name

    @property
    def doc(self) -> str:
        """The string literal under the field, or that of a parent class; ``""`` where there is none."""
        return field_doc(self.config_class, self.name)

    @property
    def type(self) -> Any:
        """The declared type, resolved when it is asked for.

        Raises:
            ConfigError: The annotation names something that its module does not have.
        """
        return _resolve_annotation(_owner(self.config_class, self.field), self.name, self.field.type)

    @property
    def default(self) -> Any:
        """The class's default, made anew each time; ``dataclasses.MISSING`` where a value is required."""
        if self.field.default_factory is not MISSING:
            return self.field.default_factory()
        return self.field.default


def is_config(value: Any) -> TypeGuard[DataclassInstance]:
    """Whether ``value`` is a config: an instance of a dataclass."""
    return dataclasses.is_dataclass(value) and not isinstance(value, type)


def is_config_class(value: Any) -> bool:
    """Whether ``value`` is a class of configs."""
    return isinstance(value, type) and dataclasses.is_dataclass(value)


def config_fields(config: Any) -> list[FieldInfo]:
    """The fields that can be set, of a config or a config class: parents' first, without ``_target``.

    The default of each is its class's, whatever the config holds.
    """
    cls = config if isinstance(config, type) else type(config)
    return [FieldInfo(cls, field) for field in dataclasses.fields(cls) if _is_set(field)]


def field_values(config: Any) -> dict[str, Any]:
    """What a config was made of: the value of each field that can be set, ``_target`` included."""
    return {field.name: getattr(config, field.name) for field in dataclasses.fields(config) if field.init}


def field_defaults(cls: type[Any]) -> dict[str, Any]:
    """Defaults of a config class, ``_target`` included, each made anew; required fields are left out."""
    fields = [FieldInfo(cls, field) for field in dataclasses.fields(cls) if field.init]
    return {info.name: info.default for info in fields if info.default is not MISSING}


def has_target(cls: type[Any]) -> bool:
    """Whether configs of this class name what they build."""
    return "_target" in _fields_by_name(cls)


def _is_set(field: _Field) -> bool:
    return field.init and field.name != "_target"


def _owner(cls: type, field: _Field) -> type:
    # A dataclass hands the very Field object on to its subclasses, until one of them declares another.
    return [base for base in cls.__mro__ if _fields_by_name(base).get(field.name) is field][-1]


def _fields_by_name(cls: type) -> dict[str, _Field]:
    return getattr(cls, "__dataclass_fields__", {})


def _resolve_annotation(owner: type, name: str, annotation: Any) -> Any:
    module = vars(sys.modules[owner.__module__]) if owner.__module__ in sys.modules else {}
    # Names of the class come last: a field called like a type must not hide the type.
    names = {**vars(owner), **vars(builtins), **module}
    try:
        return get_type_hints(SimpleNamespace(__annotations__={name: annotation}), names)[name]
    except Exception as error:
        raise ConfigError(
            f"The type {annotation!r} of field {owner.__qualname__}.{name} cannot be resolved: {error}.",
            f"Each name in it must exist in the module {owner.__module__}.",
            "Import or define it at the top of that module, not inside a function or under TYPE_CHECKING.",
        ) from error
