"""Every field of a config as a flag of the command line, read and explained by tyro.

tyro sees a mirror of the config: a tree of dataclasses made of the configs as they are (so that classes
which somebody defined in a function work too), with the values of now as defaults, without ``_target``,
and with no unions of configs that would become subcommands.
"""

from __future__ import annotations

import contextlib
import dataclasses
import inspect
import io
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, TextIO, TypeVar

import tyro

from flashdreams.cli.console import readable_width, uses_colour
from flashdreams.cli.flag_tree import Flag, Group, flag_tree
from flashdreams.cli.line import tidy_line
from flashdreams.cli.options import HELP, Option
from flashdreams.cli.values import option_spec, part_spec, value_spec
from flashdreams.errors import UsageError
from flashdreams.infra.config.derive import change_config
from flashdreams.infra.config.types import same

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

ConfigT = TypeVar("ConfigT", bound="DataclassInstance")
_Field = tuple[str, Any, Any]


def parse_flags(config: ConfigT, argv: Sequence[str], prog: str, options: Sequence[Option] = ()) -> ConfigT:
    """A copy of ``config`` with the flags of the line applied, all of it validated anew.

    Args:
        config: Any config.
        argv: Flags of its fields, and nothing else.
        prog: The command so far, for errors.
        options: What the command takes beside flags, for errors.

    Raises:
        ConfigError: An unknown flag, or a value that its field does not take.
        UsageError: A line that is not made of flags and their values.
    """
    group = flag_tree(config)
    line = tidy_line(argv, list(group.all_flags()), prog, [option.name for option in options])
    mirror, text = _call_tyro(_mirror(group, prog), line, prog, "")
    if mirror is None:
        raise UsageError("The line cannot be read.", text.strip(), f"See `{prog} --help`.")
    return change_config(config, _changes(mirror, group))


def flags_help(config: Any, prog: str, options: Sequence[Option] = ()) -> str:
    """The help of every flag of ``config``, headed by the ``options`` of the command itself."""
    group = flag_tree(config)
    about = getattr(config, "description", "") or _class_doc(type(config))
    return _call_tyro(_mirror(group, prog, options), ["--help"], prog, about)[1].rstrip()


class _Transcript(io.StringIO):
    """Collects what tyro prints, and says of itself what the real stdout would; heeds NO_COLOR."""

    def __init__(self, stdout: TextIO) -> None:
        super().__init__()
        self._stdout = stdout

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return getattr(self._stdout, "encoding", None) or "ascii"

    def isatty(self) -> bool:
        return uses_colour(self._stdout)


def _call_tyro(mirror: type, line: list[str], prog: str, about: str) -> tuple[Any, str]:
    """The parsed mirror, or None where tyro ended otherwise, and what it printed."""
    transcript = _Transcript(sys.stdout)
    parsed: Any = None
    with (
        contextlib.redirect_stdout(transcript),
        contextlib.redirect_stderr(transcript),
        contextlib.suppress(SystemExit),
        readable_width(),
    ):
        parsed = tyro.cli(mirror, prog=prog, description=about, args=line)
    return parsed, transcript.getvalue()


def _mirror(group: Group, prog: str, options: Sequence[Option] = ()) -> type:
    fields = [_option_field(option) for option in options]
    taken = {option.name for option in (HELP, *options)}
    for flag in (flag for flag in group.flags if flag.text not in taken):
        fields.append(_part_field(flag) if flag.is_part else _value_field(flag, prog))
        if flag.info.name in group.groups:
            fields.append(_nested_field(flag, _mirror(group.groups[flag.info.name], prog)))
    cls = type(group.config)
    namespace = {"__doc__": _class_doc(cls)}
    return dataclasses.make_dataclass(
        cls.__name__, fields, namespace=namespace, kw_only=True, eq=False, repr=False
    )


def _class_doc(cls: type) -> str:
    doc = inspect.getdoc(cls) or ""
    return (
        "" if doc.startswith(f"{cls.__name__}(") else doc
    )  # a dataclass without one documents its arguments


def _value_field(flag: Flag, prog: str) -> _Field:
    if flag.is_fixed:
        about = tyro.conf.arg(help=flag.info.doc, help_behavior_hint=f"(fixed: {flag.value})")
    else:
        about = tyro.conf.arg(help=flag.info.doc, help_behavior_hint=_default_hint)
    return _field(flag.info.name, Annotated[object, value_spec(flag, prog), about], flag.value)


def _default_hint(default: str) -> str:
    return f"(default: {default})" if default else "(default: empty)"


def _part_field(flag: Flag) -> _Field:
    now = "None" if flag.value is None else type(flag.value).__qualname__
    about = tyro.conf.arg(name=flag.info.name, help=flag.info.doc, help_behavior_hint=f"(now: {now})")
    return _field(f"{flag.info.name}__part", Annotated[object, part_spec(flag), about], None)


def _nested_field(flag: Flag, mirror: type) -> _Field:
    # With a help given, tyro does not search for one in the source of a class that has none.
    annotation: Any = Annotated[mirror, tyro.conf.arg(help=mirror.__doc__)]
    return flag.info.name, annotation, dataclasses.field(default_factory=mirror)


def _option_field(option: Option) -> _Field:
    name = option.name.removeprefix("--")
    about = tyro.conf.arg(
        name=name,
        help=option.help,
        help_behavior_hint="",
        aliases=[option.short] if option.short else None,
    )
    return _field(f"{name.replace('-', '_')}__option", Annotated[object, option_spec(option), about], None)


def _field(name: str, annotation: Any, default: Any) -> _Field:
    return name, annotation, dataclasses.field(default_factory=lambda: default)


def _changes(mirror: Any, group: Group) -> dict[str, Any]:
    """What differs, nested; every nested config appears, so that each is validated beside its new values."""
    changes: dict[str, Any] = {
        name: _changes(getattr(mirror, name), nested) for name, nested in group.groups.items()
    }
    for flag in group.flags:
        value = getattr(mirror, flag.info.name, flag.value)
        if not flag.is_part and not same(value, flag.value):
            changes[flag.info.name] = value
    return changes
