"""Lines of the commands that take no slug: options, and at most one word."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager, redirect_stdout
from typing import TextIO

from flashdreams.cli.console import help_page
from flashdreams.cli.options import HELP, Option, looks_like_flag, take_options
from flashdreams.errors import UsageError, did_you_mean

JSON = Option("--json", "Print JSON for programs.")


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
        print(_help(command, summary, options, word))
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


def stdout_kept() -> AbstractContextManager[TextIO]:
    """Keep stdout for what the command prints: what plugins print when they are loaded goes to stderr."""
    return redirect_stdout(sys.stderr)


def _help(command: str, summary: str, options: Sequence[Option], word: str) -> str:
    usage = f"flashdreams {command} {f'[{word}] ' if word else ''}[options]"
    rows = [(option.invocation, option.help) for option in (*options, HELP)]
    return help_page(usage, summary, [("options", rows)])
