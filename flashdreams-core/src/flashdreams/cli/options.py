"""Options of a command itself, which may stand anywhere on its line; what is left belongs to the slug."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from flashdreams.errors import UsageError


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
    line = list(argv)
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


def _next_value(option: Option, line: list[str]) -> str:
    if not line or looks_like_flag(line[0]):
        raise UsageError(
            f"{option.name} has no value.",
            f"It is written {option.invocation}.",
            f"Give it one: {option.help[0].lower()}{option.help[1:]}",
        )
    return line.pop(0)
