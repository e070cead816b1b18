"""From the words behind a flag to the value of its field."""

from __future__ import annotations

import shlex
from typing import Any, Literal, get_args, get_origin

from tyro.constructors import (
    ConstructorRegistry,
    PrimitiveConstructorSpec,
    PrimitiveTypeInfo,
    UnsupportedTypeAnnotationError,
)

from flashdreams.cli.flag_tree import Flag
from flashdreams.cli.options import Option
from flashdreams.errors import ConfigError, FieldTypeError, UsageError, nearest
from flashdreams.infra.config.types import describe, type_members


def value_spec(flag: Flag, prog: str) -> PrimitiveConstructorSpec[Any]:
    """How tyro reads and shows the values of a flag; every mistake becomes a typed error of ours."""
    native = _native_spec(flag)
    return PrimitiveConstructorSpec(
        nargs="*",  # whatever number of words comes, so that the error about it is ours
        metavar=native.metavar if native else "FILE-ONLY",
        instance_from_str=lambda words: _read(words, flag, native, prog),
        is_instance=lambda value: True,
        str_from_instance=as_words,
    )


def part_spec(flag: Flag) -> PrimitiveConstructorSpec[Any]:
    """How tyro shows a component; it is swapped before tyro sees the line."""
    optional = type(None) in type_members(flag.info.type)
    return _shown_only("{None}|NAME" if optional else "NAME")


def option_spec(option: Option) -> PrimitiveConstructorSpec[Any]:
    """How tyro shows an option of the command; it is taken off before tyro sees the line."""
    return _shown_only(option.metavar)


def accepts_bool(flag: Flag) -> bool:
    """Whether True and False are values of the flag."""
    options = [option for member in type_members(flag.info.type) for option in (member, *_literals(member))]
    return any(option is bool or isinstance(option, bool) for option in options)


def as_words(value: Any) -> list[str]:
    """A value as the words that stand for it behind its flag."""
    if isinstance(value, dict):
        return [word for pair in value.items() for item in pair for word in as_words(item)]
    if isinstance(value, list | tuple):
        return [word for item in value for word in as_words(item)]
    return [str(value)]


def _shown_only(metavar: str) -> PrimitiveConstructorSpec[Any]:
    return PrimitiveConstructorSpec("*", metavar, _refuse, lambda value: True, lambda value: [])


def _refuse(words: list[str]) -> Any:
    raise UsageError(
        f"{' '.join(words)!r} is given to a flag that only a whole command reads.",
        "A component is swapped by the command, before the flags of its fields are read.",
        "Write it with `flashdreams run` or `flashdreams show`.",
    )


def _native_spec(flag: Flag) -> PrimitiveConstructorSpec[Any] | None:
    spec = ConstructorRegistry.get_primitive_spec(PrimitiveTypeInfo.make(flag.info.type, set()))
    return None if isinstance(spec, UnsupportedTypeAnnotationError) else spec


def _read(words: list[str], flag: Flag, native: PrimitiveConstructorSpec[Any] | None, prog: str) -> Any:
    if flag.is_fixed:
        raise UsageError(
            f"{flag.text} is fixed to {flag.value!r}.",
            "It is what the plugin calls this runner.",
            f"Leave {flag.text} out.",
        )
    if native is None:
        raise ConfigError(
            f"{flag.text} is {describe(flag.info.type)}, which a command line cannot hold.",
            "A config file can.",
            f"Set {'.'.join(flag.path)} in a file and pass it with --config FILE.",
        )
    try:
        return _from_words(words, native)
    except (ValueError, TypeError) as error:
        raise _bad_value(words, flag, prog) from error


def _from_words(words: list[str], spec: PrimitiveConstructorSpec[Any]) -> Any:
    counts = {spec.nargs} if isinstance(spec.nargs, int) else set(spec.nargs)
    if "*" not in counts and len(words) not in counts:
        raise ValueError(len(words))
    if spec.choices is not None and not set(words) <= set(spec.choices):
        raise ValueError(words)
    return spec.instance_from_str(words)


def _bad_value(words: list[str], flag: Flag, prog: str) -> FieldTypeError:
    options = [str(option) for member in type_members(flag.info.type) for option in _literals(member)]
    match = nearest(words[0], options) if len(words) == 1 else None
    example = shlex.join(as_words(flag.value)) if flag.value not in (None, "") else ""
    return FieldTypeError(
        f"{flag.text} is {_as_given(words)}.",
        f"It takes {describe(flag.info.type)}." + (f" Did you mean {match}?" if match else ""),
        (f"Write {flag.text} {example}, for instance. " if example else "") + f"`{prog} --help` explains it.",
    )


def _as_given(words: list[str]) -> str:
    if not words:
        return "given no value"
    return f"{words[0]!r}" if len(words) == 1 else f"given {len(words)} values, {shlex.join(words)}"


def _literals(type: Any) -> tuple[Any, ...]:
    return get_args(type) if get_origin(type) is Literal else ()
