"""What a plugin declares: runners, components and commands, by name.

A spec is data. It names its target as text, ``"package.module:NAME"``, and nothing is imported until
somebody asks for it.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from flashdreams.errors import FieldValueError


@dataclass(frozen=True)
class RunnerSpec:
    """A runnable model.

    Raises:
        FieldValueError: A field is no one-line text, or the target is no ``"package.module:NAME"``.
    """

    slug: str
    """Its name: ``family-size-task[-variant]``, lower case."""
    summary: str
    """What it makes, in one line."""
    target: str
    """``"package.module:NAME"`` of a RunnerConfig, or of a function without arguments returning one."""
    needs: tuple[str, ...] = ()
    """What the machine must have: "cuda", "mps", or the name of a module that must be installed."""

    def __post_init__(self) -> None:
        _check(self, "slug", "target")


@dataclass(frozen=True)
class ComponentSpec:
    """A part of a pipeline that can be chosen by name.

    Raises:
        FieldValueError: A field is no one-line text, or the target is no ``"package.module:NAME"``.
    """

    kind: str
    """The config field that it fits: "encoder", "transformer", "scheduler", "decoder", ..."""
    name: str
    """Its name, unique within its kind."""
    summary: str
    """What it is, in one line."""
    target: str
    """``"package.module:NAME"`` of its config, its config class, or a function returning its config."""
    needs: tuple[str, ...] = ()
    """What the machine must have: "cuda", "mps", or the name of a module that must be installed."""

    def __post_init__(self) -> None:
        _check(self, "kind", "name", "target")


@dataclass(frozen=True)
class CommandSpec:
    """A command of the command line: ``flashdreams NAME``.

    Raises:
        FieldValueError: A field is no one-line text, or the target is no ``"package.module:NAME"``.
    """

    name: str
    """What is typed after ``flashdreams``. The names of core's own commands are taken."""
    summary: str
    """What it does, in one line."""
    target: str
    """``"package.module:NAME"`` of a function ``main(argv: list[str]) -> int``, the exit code."""

    def __post_init__(self) -> None:
        _check(self, "name", "target")


def _check(spec: Any, *names: str) -> None:
    for field in fields(spec):
        value = getattr(spec, field.name)
        if field.name == "needs":
            good = isinstance(value, tuple) and all(isinstance(need, str) for need in value)
            right = 'It is a tuple of texts, such as ("cuda",).'
        else:
            good = isinstance(value, str) and "\n" not in value
            right = "It is a text of one line."
        if field.name in names:
            good = good and bool(value) and not value.startswith("-") and not any(map(str.isspace, value))
            right = "It is a text without spaces that does not begin with a dash."
        if field.name == "target" and good:
            module, _, attribute = value.partition(":")
            good, right = bool(module and attribute), 'It reads "package.module:NAME".'
        if not good:
            where = f"{type(spec).__name__}.{field.name}"
            raise FieldValueError(f"{where} is {value!r}.", right, f"Correct {field.name} in the plugin.")
