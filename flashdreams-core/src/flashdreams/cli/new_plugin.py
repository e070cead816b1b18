"""``flashdreams new-plugin NAME``: a plugin that installs, runs and passes its tests before it is changed."""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence
from pathlib import Path

from flashdreams.cli.console import help_page
from flashdreams.cli.options import HELP, Option, looks_like_flag, option_rows, take_options
from flashdreams.errors import UsageError, did_you_mean
from flashdreams.plugins.registry import installed_registry
from flashdreams.scaffold.kinds import KINDS
from flashdreams.scaffold.names import Names, check_free, checked_names
from flashdreams.scaffold.project import write_project

SUMMARY = "Write a new plugin that installs, runs and passes its tests as it is."

KIND = Option("--kind", "What it adds; model where this is left out.", "KIND")
OUTPUT = Option("--output", "Folder to write the project's own folder into; here by default.", "DIR")
AUTHOR = Option("--author", "Who wrote it, for its metadata.", "NAME")
OPTIONS = (KIND, OUTPUT, AUTHOR)

_DEFAULT_KIND = "model"


def main(argv: Sequence[str]) -> int:
    """Write the project, and say what to do next.

    Raises:
        UsageError: A line that cannot be understood.
        PluginNameError: A name that cannot be had.
        OutputError: The folder exists, or cannot be written.
    """
    taken, words = take_options(argv, [*OPTIONS, HELP])
    if HELP.name in taken:
        print(_help())
        return 0
    names = checked_names(_only_word(words))
    kind = _kind(taken.get(KIND.name, [_DEFAULT_KIND])[-1])
    check_free(names, KINDS[kind].slug(names), KINDS[kind].component, installed_registry())
    folder = Path(taken.get(OUTPUT.name, ["."])[-1]).expanduser() / names.distribution
    files = write_project(folder, kind, names, taken.get(AUTHOR.name, [""])[-1])
    print(_told(folder, kind, names, files))
    return 0


def _only_word(words: Sequence[str]) -> str:
    flag = next(filter(looks_like_flag, words), None)
    if flag is not None:
        raise UsageError(
            f"`flashdreams new-plugin` does not take {flag!r}.",
            did_you_mean(flag, [option.name for option in (*OPTIONS, HELP)]),
            "See `flashdreams new-plugin --help`.",
        )
    if len(words) != 1:
        raise UsageError(
            f"`flashdreams new-plugin` was given {' '.join(map(repr, words)) or 'no name'}.",
            "It takes one name.",
            "Write flashdreams new-plugin my-model, for instance.",
        )
    return words[0]


def _kind(name: str) -> str:
    if name not in KINDS:
        raise UsageError(
            f"--kind is {name!r}.",
            f"It is one of {', '.join(KINDS)}.",
            "See what each adds: flashdreams new-plugin --help",
        )
    return name


def _told(folder: Path, kind: str, names: Names, files: Sequence[str]) -> str:
    where = os.path.normpath(folder)
    slug = KINDS[kind].slug(names)
    commands = (
        f"pip install -e {shlex.quote(f'{where}[test]')}",
        f"flashdreams run {slug} --output {slug}.gif",
        f"pytest {shlex.quote(where)}",
        f"flashdreams plugins check {names.distribution}",
    )
    blocks = (
        (f"Wrote {where}, a plugin of kind {kind}:", files),
        ("Next:", commands),
        ("Then change it where it says `change this`; README.md says more.", ()),
    )
    return "\n\n".join("\n".join((title, *(f"  {line}" for line in lines))) for title, lines in blocks)


def _help() -> str:
    kinds = ((name, kind.adds) for name, kind in KINDS.items())
    sections = [("kinds", kinds), ("options", option_rows(OPTIONS))]
    return help_page("flashdreams new-plugin NAME [options]", SUMMARY, sections)
