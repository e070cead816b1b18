"""``flashdreams run SLUG``: make a video."""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from flashdreams.cli.console import set_up_logging
from flashdreams.cli.flag_tree import flag_tree
from flashdreams.cli.options import OFFLINE, VERBOSE, Option
from flashdreams.cli.request import SlugCommand
from flashdreams.cli.values import as_words
from flashdreams.infra.runner.config import RunnerConfig
from flashdreams.io.hub import check_here, fetching_for, is_offline, offline
from flashdreams.io.lock import references_of

SUMMARY = "Make a video with a slug; each field of its config is a flag."

_PRINT_CONFIG = Option("--print-config", "Check the line, print the config it makes, and build nothing.")
_FORCE = Option("--force", "Run even what the memory of the device seems too small for.")
COMMAND = SlugCommand("run", SUMMARY, (_PRINT_CONFIG, _FORCE, OFFLINE, VERBOSE))


def main(argv: Sequence[str]) -> int:
    """Run what the line says.

    Raises:
        FlashDreamsError: Something that the user can put right.
    """
    request = COMMAND.read(argv)
    if request is None:
        return 0
    set_up_logging(len(request.options.get(VERBOSE.name, [])))
    _check_record(request.file, request.config)
    forced = _FORCE.name in request.options
    if _PRINT_CONFIG.name in request.options:
        _check(request.config, forced)
        print(request.config)
        return 0
    with fetching_for(_for_download(argv, request.slug)), offline(OFFLINE.name in request.options):
        if is_offline():
            check_here(references_of(request.config))
        runner = request.config.setup()
        runner.checks_memory = not forced
        runner.run()
    return 0


def _for_download(argv: Sequence[str], slug: str) -> str:
    """The slug and what the line changes of it, as ``flashdreams download`` takes them."""
    own = {name for option in COMMAND.options for name in (option.name, option.short)}
    words = [word for word in argv if word not in own and not re.fullmatch("-v+", word)]
    return shlex.join(words) if slug in words else slug


def _check(config: RunnerConfig, forced: bool) -> None:
    """Refuse what the run would refuse; a runner that is none of core's refuses it when it runs."""
    from flashdreams.infra.runner import Runner

    runner = config.setup()
    if isinstance(runner, Runner):
        runner.checks_memory = not forced
        runner.check()


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
