"""``flashdreams run SLUG``: make a video."""

from __future__ import annotations

from collections.abc import Sequence

from flashdreams.cli.console import help_page, set_up_logging
from flashdreams.cli.flags import flags_help, parse_flags
from flashdreams.cli.options import HELP, VERBOSE, Option, take_options
from flashdreams.cli.request import CONFIG, USE, open_registry, read_request, runnable

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
        print(_overview(runnable(registry)))
        return 0
    set_up_logging(len(taken.get(VERBOSE.name, [])))
    request = read_request(taken, rest, _COMMAND, registry)
    prog = f"{_COMMAND} {request.slug}"
    if asks_help:
        print(flags_help(request.draft, prog, _OPTIONS))
        return 0
    config = parse_flags(request.draft, request.flags, prog, _OPTIONS)
    if _PRINT_CONFIG.name in taken:
        print(config)
    else:
        config.setup().run()
    return 0


def _overview(slugs: list[tuple[str, str]]) -> str:
    options = [(option.invocation, option.help) for option in (*_OPTIONS, HELP)]
    flags = [("--FIELD VALUE", f"Any field of the config. See them all with: {_COMMAND} SLUG --help")]
    sections = [("slugs", slugs), ("options", options), ("flags", flags)]
    return help_page(f"{_COMMAND} SLUG [options] [flags]", SUMMARY, sections)
