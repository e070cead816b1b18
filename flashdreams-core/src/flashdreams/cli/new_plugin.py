"""``flashdreams new-plugin NAME``: a plugin that installs, runs and passes its tests before it is changed."""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence
from pathlib import Path

from flashdreams.cli.console import columns, help_page
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
            did_you_mean(name, KINDS),
            f"The kinds: {', '.join(KINDS)}.",
        )
    return name


def _told(folder: Path, kind: str, names: Names, files: Sequence[str]) -> str:
    where = shlex.quote(os.path.normpath(folder))
    slug = KINDS[kind].slug(names)
    commands = (
        (f"pip install -e {shlex.quote(f'{os.path.normpath(folder)}[test]')}", "install it, where it is"),
        (f"flashdreams run {slug} --output {slug}.gif", "see what it makes"),
        (f"pytest {where}", "test it"),
        (f"flashdreams plugins check {names.distribution}", "check it as others will have it"),
    )
    head = f"Wrote {folder}, a plugin of kind {kind}:"
    listed = "\n".join(f"  {path}" for path in files)
    return f"{head}\n{listed}\n\nNext:\n{columns(commands)}\n\nThen look for the comments `change this`."


def _help() -> str:
    kinds = ((name, kind.adds) for name, kind in KINDS.items())
    sections = [("kinds", kinds), ("options", option_rows(OPTIONS))]
    return help_page("flashdreams new-plugin NAME [options]", SUMMARY, sections)
