"""Options of a command itself, which may stand anywhere on its line.

What is left of the line belongs to the slug; a command without slug takes at most one word beside them.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager, redirect_stdout
from dataclasses import dataclass
from typing import TextIO

from flashdreams.cli.console import help_page
from flashdreams.errors import UsageError, did_you_mean


@dataclass(frozen=True)
class Option:
    """One option of a command, such as ``--config FILE``."""

    name: str
    """Its long form, ``--config``."""
    help: str
    """What it does."""
    metavar: str = ""
    """What stands for its value in the help; an option without one takes no value."""
    short: str = ""
    """Its short form, ``-v``, where it has one."""

    @property
    def invocation(self) -> str:
        """How it is written on the line: ``-v, --verbose``, ``--config FILE``."""
        names = ", ".join(filter(None, (self.short, self.name)))
        return f"{names} {self.metavar}".rstrip()


HELP = Option("--help", "Show this and exit.", short="-h")
JSON = Option("--json", "Print JSON for programs.")
OFFLINE = Option("--offline", "Fetch nothing: weights that are not on this machine are an error.")
VERBOSE = Option("--verbose", "Log what happens; twice for every detail.", short="-v")


def looks_like_flag(token: str) -> bool:
    """Whether a token of the line is a flag, and no value: negative numbers are values."""
    if re.fullmatch(r"-(inf|infinity|nan)", token, re.IGNORECASE):
        return False
    return re.match(r"--|-[^\W\d]", token) is not None


def take_options(argv: Sequence[str], options: Sequence[Option]) -> tuple[dict[str, list[str]], list[str]]:
    """Take the options off the line.

    Returns:
        The values given to each option by its name (``""`` for one without value), and the rest of
        the line in its order.

    Raises:
        UsageError: An option lacks its value, or has one that it does not take.
    """
    by_name = {name: option for option in options for name in (option.name, option.short) if name}
    taken: dict[str, list[str]] = {}
    rest: list[str] = []
    line = [word for token in argv for word in _letters(token, by_name)]
    while line:
        token = line.pop(0)
        name, equals, value = token.partition("=")
        option = by_name.get(name.replace("_", "-"))
        if option is None:
            rest.append(token)
        elif option.metavar:
            taken.setdefault(option.name, []).append(value if equals else _next_value(option, line))
        elif equals:
            raise UsageError(
                f"{option.name} is given the value {value!r}.",
                f"{option.name} takes no value.",
                f"Write {option.name} alone.",
            )
        else:
            taken.setdefault(option.name, []).append("")
    return taken, rest


def _letters(token: str, by_name: dict[str, Option]) -> list[str]:
    """``-vv`` as ``-v -v``, where that is an option without a value; every other token as it is."""
    letters = token[1:]
    repeated = len(letters) > 1 and not token.startswith("--") and len(set(letters)) == 1
    option = by_name.get(token[:2]) if repeated else None
    return [token[:2]] * len(letters) if option is not None and not option.metavar else [token]


def read_arguments(
    argv: Sequence[str], command: str, summary: str, options: Sequence[Option], word: str = ""
) -> dict[str, str] | None:
    """Read the line of ``flashdreams COMMAND``.

    Args:
        argv: The line after the command.
        command: Its name.
        summary: What it does, for its help.
        options: The options that it takes beside ``--help``; none of them has a value.
        word: Name of the word that it takes, such as ``KIND``; nothing where it takes none.

    Returns:
        An entry for each option given, by its name, and the word under its name. None where the help
        was asked for, and printed.

    Raises:
        UsageError: Something else stands on the line.
    """
    taken, rest = take_options(argv, [*options, HELP])
    if HELP.name in taken:
        usage = f"flashdreams {command} {f'[{word}] ' if word else ''}[options]"
        print(help_page(usage, summary, [("options", option_rows(options))]))
        return None
    if word and rest and not looks_like_flag(rest[0]):
        taken[word] = [rest.pop(0)]
    if rest:
        names = [option.name for option in (*options, HELP)]
        raise UsageError(
            f"`flashdreams {command}` does not take {rest[0]!r}.",
            did_you_mean(rest[0], names),
            f"See `flashdreams {command} --help`.",
        )
    return {name: values[-1] for name, values in taken.items()}


def whole_number(option: Option, text: str, *, least: int = 1, right: str, next: str) -> int:
    """The value of an option that counts.

    Raises:
        UsageError: It is no whole number, or less than ``least``; with what would be right, and what to do.
    """
    if text.isdecimal() and int(text) >= least:
        return int(text)
    raise UsageError(f"{option.name} is {text!r}.", right, next)


def option_rows(options: Iterable[Option]) -> list[tuple[str, str]]:
    """The options of a command for its help, ``--help`` last: how each is written, and what it does."""
    return [(option.invocation, option.help) for option in (*options, HELP)]


def stdout_kept() -> AbstractContextManager[TextIO]:
    """Keep stdout for what the command prints: what plugins print when they are loaded goes to stderr."""
    return redirect_stdout(sys.stderr)


def _next_value(option: Option, line: list[str]) -> str:
    if not line or looks_like_flag(line[0]):
        raise UsageError(
            f"{option.name} has no value.",
            f"It is written {option.invocation}.",
            f"Give it one: {option.help[0].lower()}{option.help[1:]}",
        )
    return line.pop(0)
