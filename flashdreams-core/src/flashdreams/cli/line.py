"""The line before tyro sees it: spellings made one, booleans written out, unknown flags refused."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from difflib import SequenceMatcher

from flashdreams.cli.flag_tree import Flag
from flashdreams.cli.options import looks_like_flag
from flashdreams.cli.values import accepts_bool
from flashdreams.errors import UnknownFieldError, UsageError

_ALIKE = 0.6


def tidy_line(argv: Sequence[str], flags: Sequence[Flag], prog: str) -> list[str]:
    """The line with each flag in its own spelling, and a word behind each boolean.

    ``--a_b`` becomes ``--a-b``; ``--x`` and ``--no-x`` of a boolean become ``--x True`` and ``--x False``,
    and so does ``--x true``.

    Raises:
        UnknownFieldError: A flag that no field has.
        UsageError: A word that belongs to no flag, or a value behind ``--no-x``.
    """
    return list(_tidy(list(argv), {flag.text: flag for flag in flags}, prog))


def _tidy(words: list[str], flags: dict[str, Flag], prog: str) -> Iterator[str]:
    if words and not looks_like_flag(words[0]):
        raise UsageError(
            f"{words[0]!r} stands where a flag was expected.",
            f"A line reads {prog} --flag value --flag value.",
            f"See `{prog} --help` for the flags.",
        )
    while words:
        name, equals, value = words.pop(0).partition("=")
        name = name.replace("_", "-")
        values = [value] if equals else []
        while words and not looks_like_flag(words[0]):
            values.append(words.pop(0))
        if name in flags:
            yield from _spell(name, _booleans(values) if accepts_bool(flags[name]) else values)
        else:
            yield from _spell(_negated(name, values, flags, prog), ["False"])


def _spell(name: str, values: list[str]) -> Iterator[str]:
    # With "=" a value may begin with a dash.
    yield f"{name}={values[0]}" if values else name
    yield from values[1:]


def _booleans(values: list[str]) -> list[str]:
    spelled = {"true": "True", "false": "False"}
    return [spelled.get(value.lower(), value) for value in values] or ["True"]


def _negated(name: str, values: list[str], flags: dict[str, Flag], prog: str) -> str:
    """The boolean that ``--no-x``, ``--a.no-x`` or ``--no-a.x`` switches off."""
    head, dot, leaf = name.rpartition(".")
    candidates = [f"--{name.removeprefix('--no-')}", f"{head}{dot}{leaf.removeprefix('no-')}"]
    flag = next(
        (text for text in candidates if text != name and text in flags and accepts_bool(flags[text])), None
    )
    if flag is None:
        raise unknown_flag(name, flags, prog)
    if values:
        raise UsageError(
            f"{name} is given the value {values[0]!r}.",
            f"{name} takes no value: it says {flag} False.",
            f"Write {name} alone, or {flag} {values[0]}.",
        )
    return flag


def unknown_flag(name: str, flags: dict[str, Flag], prog: str) -> UnknownFieldError:
    """The error about a flag that no field has, with the nearest that there is."""
    empty = next(
        (flag for flag in flags.values() if flag.is_empty and name.startswith(flag.text + ".")), None
    )
    if empty is not None:
        return UnknownFieldError(
            f"{name} is no flag yet.",
            f"{'.'.join(empty.path)} is None, and so has no fields.",
            f"Put a component there: --use {'.'.join(empty.path)}=NAME. `flashdreams components` lists them.",
        )
    return UnknownFieldError(
        f"{name} is no flag of `{prog}`.",
        _nearest_flags(name, flags),
        f"See `{prog} --help`. A value that begins with a dash is written --flag=-value.",
    )


def _nearest_flags(name: str, flags: Iterable[str]) -> str:
    same_leaf = [text for text in flags if _leaf(text) == _leaf(name)]
    if len(same_leaf) > 1 and "." not in name:
        return f"Did you mean {' or '.join(same_leaf)}?"
    alikeness, match = max((_alikeness(name, text), text) for text in flags)
    return f"Did you mean {match}?" if alikeness[0] > _ALIKE else "Each field of the config has a flag."


def _alikeness(name: str, text: str) -> tuple[float, float]:
    whole = SequenceMatcher(a=name, b=text).ratio()
    return max(whole, SequenceMatcher(a=_leaf(name), b=_leaf(text)).ratio()), whole


def _leaf(text: str) -> str:
    return text.removeprefix("--").rpartition(".")[2]
