"""``flashdreams run SLUG``: make a video."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from flashdreams.cli.console import help_page, set_up_logging
from flashdreams.cli.flag_tree import flag_tree
from flashdreams.cli.flags import flags_help, parse_flags
from flashdreams.cli.options import HELP, VERBOSE, Option, take_options
from flashdreams.cli.request import CONFIG, USE, open_registry, read_request, runnable
from flashdreams.cli.values import as_words
from flashdreams.infra.runner.config import RunnerConfig

SUMMARY = "Make a video with a slug; each field of its config is a flag."

_COMMAND = "flashdreams run"
_PRINT_CONFIG = Option("--print-config", "Check the line, print the config it makes, and build nothing.")
_OPTIONS = (CONFIG, USE, _PRINT_CONFIG, VERBOSE)


def main(argv: Sequence[str]) -> int:
    """Run what the line says.

    Raises:
        FlashDreamsError: Something that the user can put right.
    """
    taken, rest = take_options(argv, [*_OPTIONS, HELP])
    registry = open_registry()
    asks_help = HELP.name in taken
    if asks_help and not rest and CONFIG.name not in taken:
        print(overview(runnable(registry)))
        return 0
    set_up_logging(len(taken.get(VERBOSE.name, [])))
    request = read_request(taken, rest, _COMMAND, registry)
    prog = f"{_COMMAND} {request.slug}"
    if asks_help:
        print(flags_help(request.draft, prog, _OPTIONS))
        return 0
    config = parse_flags(request.draft, request.flags, prog, _OPTIONS)
    _check_record(request.file, config)
    if _PRINT_CONFIG.name in taken:
        print(config)
    else:
        config.setup().run()
    return 0


def _check_record(record: Mapping[str, Any], config: RunnerConfig) -> None:
    """Say what has changed since a recorded run, and refuse other input files than it had.

    Files that the line has replaced with others do not matter any more.
    """
    if "made_from" not in record:
        return
    from flashdreams.infra.runner.run_record import check_files, version_changes

    for change in version_changes(record):
        print(f"{change}: the video may differ.", file=sys.stderr)
    made_from = record["made_from"] or {}
    named = {word for flag in flag_tree(config).all_flags() for word in as_words(flag.value)}
    files = {name: hash for name, hash in (made_from.get("files") or {}).items() if name in named}
    check_files({**record, "made_from": {**made_from, "files": files}})


def overview(slugs: Iterable[tuple[str, str]]) -> str:
    """The help without a slug, with the ``slugs`` that there are: slug and summary each."""
    options = [(option.invocation, option.help) for option in (*_OPTIONS, HELP)]
    flags = [("--FIELD VALUE", f"Any field of the config. See them all with: {_COMMAND} SLUG --help")]
    sections = [("slugs", slugs), ("options", options), ("flags", flags)]
    return help_page(f"{_COMMAND} SLUG [options] [flags]", SUMMARY, sections)
