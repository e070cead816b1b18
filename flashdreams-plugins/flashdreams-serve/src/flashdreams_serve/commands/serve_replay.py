"""``flashdreams serve-replay LOG.json``: the video of a served session, made again."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flashdreams.cli.console import help_page, set_up_logging
from flashdreams.cli.options import (
    HELP,
    OFFLINE,
    VERBOSE,
    looks_like_flag,
    option_rows,
    stdout_kept,
    take_options,
)
from flashdreams.cli.request import SlugCommand
from flashdreams.errors import ControlError, UsageError

if TYPE_CHECKING:
    from flashdreams.infra.runner.config import RunnerConfig
    from flashdreams.infra.runner.progress import Progress
    from flashdreams_serve.host.control_log import ControlLog

SUMMARY = "Make the video of a served session again, from its control log."
COMMAND = SlugCommand("serve-replay", SUMMARY, (OFFLINE, VERBOSE))

_LOG = "LOG.json"
_MOST_BYTES = 64 * 1024 * 1024


def main(argv: Sequence[str]) -> int:
    """Make the video that the line asks for.

    Raises:
        FlashDreamsError: Something that the user can put right.
    """
    options, words = take_options(argv, [HELP])
    if not words or looks_like_flag(words[0]):
        return _without_log(HELP.name in options)
    path, *flags = words
    tree = _read(Path(path))
    slug = _slug(tree)
    asked = [slug, *flags, *([HELP.name] if HELP.name in options else [])]
    request = COMMAND.read(asked, called=f"{COMMAND.prog} {path}")
    if request is None:
        return 0
    set_up_logging(len(request.options.get(VERBOSE.name, [])))
    from flashdreams.io.hub import offline

    for change in _changes(request.config, tree):
        print(f"{change}: the video may differ.", file=sys.stderr)
    with stdout_kept(), offline(OFFLINE.name in request.options):
        output = _make(request.config, tree)
    print(output)
    return 0


def _without_log(wants_help: bool) -> int:
    if not wants_help:
        raise UsageError(
            "No control log was given.",
            f"It is the first word: flashdreams serve-replay {_LOG}",
            "Take one from the page of the session, or from /v1/sessions/{session}/log.",
        )
    line = f"{COMMAND.prog} {_LOG}"
    usage = f"{line} [options] [flags]"
    about = f"Any field of the config of the log's slug, as --output FILE. See them all with: {line} --help"
    flags = [("--FIELD VALUE", about)]
    print(help_page(usage, SUMMARY, [("options", option_rows(COMMAND.all_options)), ("flags", flags)]))
    return 0


def _changes(config: RunnerConfig, tree: Mapping[str, Any]) -> list[str]:
    """What is other than where the log comes from, one line each."""
    from flashdreams.infra.device import cpu_threads
    from flashdreams.infra.runner.run_record import version_changes
    from flashdreams_serve.host.made_with import changes_since, made_with, told_in

    with cpu_threads(config.threads) as threads:
        now = made_with(config, threads=threads)
    return [*version_changes(tree), *changes_since(told_in(tree), now)]


def _make(config: RunnerConfig, tree: Mapping[str, Any]) -> Path:
    """Make the video, and name its file."""
    from flashdreams.infra.device import cpu_threads
    from flashdreams.infra.runner.progress import Pace, Progress
    from flashdreams.io.video import enlarge, open_video
    from flashdreams_serve.host.card import ModelCard
    from flashdreams_serve.host.log_file import read_log
    from flashdreams_serve.host.openings import check_opening
    from flashdreams_serve.host.replay import replay
    from flashdreams_serve.settings import Limits

    card = ModelCard.of(config)
    log = read_log(tree, card, most_bytes=_MOST_BYTES)
    check_opening(log.opening, card, Limits())
    _check_not_empty(log)
    runner = config.setup()
    output = runner.claim_output()
    size = {"height": card.height * card.scale, "width": card.width * card.scale}
    pace = Pace(fps=card.fps, total=log.chunks, began=time.monotonic())
    with cpu_threads(config.threads), _shown(Progress(card.slug, pace, config.progress)) as progress:
        runner.make_ready()
        progress.rollout_began()
        with open_video(output, fps=card.fps, overwrite=config.overwrite, **size) as video:
            for frames, how in replay(runner, log):
                video.write(enlarge(frames, card.scale))
                progress.chunk_made(len(frames))
                progress.chunk_final(how)
        progress.end(f"{pace.frames} frames are in {output} ({pace.frames / card.fps:.1f} s of video)")
    return output


@contextmanager
def _shown(progress: Progress) -> Iterator[Progress]:
    """The pace is shown inside; whatever happens, nothing of it stays on the screen."""
    try:
        progress.begin()
        yield progress
    finally:
        progress.end("")


def _check_not_empty(log: ControlLog) -> None:
    if not log.chunks:
        raise ControlError(
            "The log holds no chunk.", "A video has at least one.", "Take the log of a session that dreamt."
        )


def _read(path: Path) -> Any:
    """What the file holds: the log, or the answer of the server that holds it."""
    try:
        with path.open("rb") as file:
            text = file.read(_MOST_BYTES + 1)
        tree = json.loads(text) if len(text) <= _MOST_BYTES else None
    except (OSError, ValueError, RecursionError) as error:
        raise _no_log(path, getattr(error, "strerror", None) or "it is no JSON") from error
    if tree is None:
        raise _no_log(path, "it is too large")
    return tree["log"] if isinstance(tree, dict) and isinstance(tree.get("log"), dict) else tree


def _slug(tree: Any) -> str:
    slug = tree.get("slug") if isinstance(tree, dict) else None
    if isinstance(slug, str) and isinstance(tree.get("versions"), dict | None):
        return slug
    raise ControlError(
        "The file is no control log.",
        "A control log names its slug, and the versions that it was made with.",
        "Take the log as the server gave it.",
    )


def _no_log(path: Path, reason: str) -> UsageError:
    return UsageError(
        f"{path} cannot be read: {reason}.", "It is a control log, as JSON.", "Check the path and the file."
    )
