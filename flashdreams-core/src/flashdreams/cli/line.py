"""The line before tyro sees it: spellings made one, booleans written out, unknown flags refused."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

from flashdreams.cli.flag_tree import Flag
from flashdreams.cli.options import looks_like_flag
from flashdreams.cli.values import accepts_bool
from flashdreams.errors import UnknownFieldError, UsageError

_ALIKE = 0.6


def tidy_line(
    argv: Sequence[str], flags: Iterable[Flag], prog: str, options: Iterable[str] = ()
) -> list[str]:
    """The line with each flag in its own spelling, and a word behind each boolean.

    ``--a_b`` becomes ``--a-b``; ``--x`` and ``--no-x`` of a boolean become ``--x True`` and ``--x False``,
    and so does ``--x true``.

    Args:
        argv: The line.
        flags: Every flag that it may hold.
        prog: The command so far, for errors.
        options: What else the command knows; none of it is on the line any more.

    Raises:
        UnknownFieldError: A flag that no field has.
        UsageError: A word that belongs to no flag, or a value behind ``--no-x``.
    """
    if argv and not looks_like_flag(argv[0]):
        raise UsageError(
            f"{argv[0]!r} stands where a flag was expected.",
            f"A line reads {prog} --flag value --flag value.",
            f"See `{prog} --help` for the flags.",
        )
    return list(_Line({flag.text: flag for flag in flags}, prog, tuple(options)).tidy(list(argv)))


@dataclass(frozen=True)
class _Line:
    """What is known about a line while it is read."""

    flags: dict[str, Flag]
    prog: str
    options: tuple[str, ...]

    def tidy(self, words: list[str]) -> Iterator[str]:
        while words:
            said, equals, value = words.pop(0).partition("=")
            name = said.replace("_", "-")
            values = [value] if equals else []
            while words and not looks_like_flag(words[0]):
                values.append(words.pop(0))
            if name not in self.flags:
                name, values = self._negated(name, said, values), ["False"]
            elif accepts_bool(self.flags[name]):
                values = _booleans(values)
            # With "=" a value may begin with a dash.
            yield f"{name}={values[0]}" if values else name
            yield from values[1:]

    def _negated(self, name: str, said: str, values: list[str]) -> str:
        """The boolean that ``--no-x``, ``--a.no-x`` or ``--no-a.x`` switches off."""
        head, dot, leaf = name.rpartition(".")
        spellings = {f"--{name.removeprefix('--no-')}", f"{head}{dot}{leaf.removeprefix('no-')}"}
        found = [text for text in spellings if text in self.flags and accepts_bool(self.flags[text])]
        if not found:
            raise self._unknown(name, said)
        if values:
            raise UsageError(
                f"{said} is given the value {values[0]!r}.",
                f"{said} takes no value: it says {found[0]} False.",
                f"Write {said} alone, or {found[0]} {values[0]}.",
            )
        return found[0]

    def _unknown(self, name: str, said: str) -> UnknownFieldError:
        for flag in self.flags.values():
            if flag.is_empty and name.startswith(flag.text + "."):
                path = ".".join(flag.path)
                return UnknownFieldError(
                    f"{said} is no flag yet.",
                    f"{path} is None, and so has no fields.",
                    f"Put a component there: --use {path}=NAME. `flashdreams components` lists them.",
                )
        return UnknownFieldError(
            f"{said} is no flag of `{self.prog}`.",
            _nearest(name, [*self.flags, *self.options]),
            f"See `{self.prog} --help`. A value that begins with a dash is written --flag=-value.",
        )


def _booleans(values: list[str]) -> list[str]:
    spelled = {"true": "True", "false": "False"}
    return [spelled.get(value.lower(), value) for value in values] or ["True"]


def _nearest(name: str, known: Sequence[str]) -> str:
    same_leaf = [text for text in known if _leaf(text) == _leaf(name)]
    if len(same_leaf) > 1 and "." not in name:
        return f"Did you mean {' or '.join(same_leaf)}?"
    alikeness, match = max((_alikeness(name, text), text) for text in known)
    if max(alikeness) > _ALIKE:
        return f"Did you mean {match}?"
    return "No flag is called anything like it: each field of the config has one."


def _alikeness(name: str, text: str) -> tuple[float, float]:
    whole = SequenceMatcher(a=name, b=text).ratio()
    return max(whole, SequenceMatcher(a=_leaf(name), b=_leaf(text)).ratio()), whole


def _leaf(text: str) -> str:
    return text.removeprefix("--").rpartition(".")[2]
