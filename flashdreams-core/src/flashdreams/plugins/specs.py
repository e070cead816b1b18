"""What a plugin declares: runners, components and commands, by name.

A spec is data. It names its target as text, ``"package.module:NAME"``, and nothing is imported until
somebody asks for it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any, ClassVar

from flashdreams.errors import FieldValueError


class Spec:
    """What all specs have in common.

    Raises:
        FieldValueError: A name or summary is no text of one line, or the target no ``"package.module:NAME"``.
    """

    noun: ClassVar[str]
    """What is declared: a slug, a component or a command."""
    summary: str
    target: str

    def __post_init__(self) -> None:
        for field in fields(self):  # type: ignore[arg-type]
            value = getattr(self, field.name)
            is_good, right = _RULES[field.name]
            if not is_good(value):
                where = f"{type(self).__name__}.{field.name}"
                raise FieldValueError(f"{where} is {value!r}.", right, f"Correct {field.name} in the plugin.")

    @property
    def key(self) -> tuple[str, ...]:
        """What must be unique among the specs of one class: the name, after the kind of a component."""
        raise NotImplementedError

    @property
    def label(self) -> str:
        """How it is called in a message, such as ``component encoder null``."""
        return " ".join((self.noun, *self.key))


@dataclass(frozen=True)
class RunnerSpec(Spec):
    """A runnable model."""

    noun = "slug"
    slug: str
    """Its name: ``family-size-task[-variant]``, lower case."""
    summary: str
    """What it makes, in one line."""
    target: str
    """``"package.module:NAME"`` of a RunnerConfig, or of a function without arguments returning one."""
    needs: tuple[str, ...] = ()
    """What the machine must have: "cuda", "mps", or the name of a module that must be installed."""

    @property
    def key(self) -> tuple[str, ...]:
        """The slug."""
        return (self.slug,)


@dataclass(frozen=True)
class ComponentSpec(Spec):
    """A part of a pipeline that can be chosen by name."""

    noun = "component"
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

    @property
    def key(self) -> tuple[str, ...]:
        """Kind and name."""
        return self.kind, self.name


@dataclass(frozen=True)
class CommandSpec(Spec):
    """A command of the command line: ``flashdreams NAME``."""

    noun = "command"
    name: str
    """What is typed after ``flashdreams``. The names of core's own commands are taken."""
    summary: str
    """What it does, in one line."""
    target: str
    """``"package.module:NAME"`` of a function ``main(argv: list[str]) -> int``, the exit code."""

    @property
    def key(self) -> tuple[str, ...]:
        """The name."""
        return (self.name,)


def _is_word(value: Any) -> bool:
    return isinstance(value, str) and bool(value) and value[0] != "-" and not any(map(str.isspace, value))


def _is_line(value: Any) -> bool:
    return isinstance(value, str) and "\n" not in value


def _is_target(value: Any) -> bool:
    return _is_word(value) and all(value.partition(":"))


def _are_needs(value: Any) -> bool:
    return isinstance(value, tuple) and all(map(_is_word, value))


_WORD = (_is_word, "It is a text without spaces that does not begin with a dash.")
_RULES: dict[str, tuple[Callable[[Any], bool], str]] = {
    "slug": _WORD,
    "kind": _WORD,
    "name": _WORD,
    "summary": (_is_line, "It is a text of one line."),
    "target": (_is_target, 'It reads "package.module:NAME".'),
    "needs": (_are_needs, 'It is a tuple of texts, such as ("cuda",).'),
}
