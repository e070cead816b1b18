"""``flashdreams bench SLUG``: how fast a slug is on this machine."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flashdreams.cli.options import JSON, OFFLINE, Option, stdout_kept, take_options, whole_number
from flashdreams.cli.request import Request, SlugCommand

SUMMARY = "Measure how fast a slug is on this machine; the last line is JSON."

_CHUNKS = Option("--chunks", "Chunks to measure at full window, 30 where it is not said.", "N")
_COLD = Option("--cold", "New processes to time until their first chunk, 3 where it is not said.", "N")
_AGAINST = Option("--against", "Compare with an earlier run: its document, or its last line.", "FILE")
_DOCUMENT = Option("--document", "Write the figures as a document, .md.", "FILE")
_FIRST_CHUNK = Option("--first-chunk", "Only make the first chunk, and say when it was there.")
COMMAND = SlugCommand("bench", SUMMARY, (_CHUNKS, _COLD, _AGAINST, _DOCUMENT, _FIRST_CHUNK, JSON, OFFLINE))
_NOT_OF_A_CHILD = (_CHUNKS, _COLD, _AGAINST, _DOCUMENT, JSON)
"""Options that a cold start does not take over."""


def main(argv: Sequence[str]) -> int:
    """Measure what the line would run.

    Raises:
        FlashDreamsError: Something that the user can put right.
    """
    request = COMMAND.read(argv)
    if request is None:
        return 0
    options = request.options
    chunks, cold = _count(options, _CHUNKS, 30, least=1), _count(options, _COLD, 3, least=0)
    before, page = _earlier(request), _page(request)
    from flashdreams.io.hub import offline

    with stdout_kept(), offline(OFFLINE.name in options):
        if _FIRST_CHUNK.name in options:
            from flashdreams.bench.cold import first_chunk

            text = json.dumps(first_chunk(request.config))
        else:
            text = _measured(request, argv, Effort(chunks, cold), before, page)
    print(text)
    return 0


def _measured(
    request: Request, argv: Sequence[str], effort: Effort, before: Mapping[str, Any] | None, page: Path | None
) -> str:
    """Measure, write the document where one is wanted, and return what is printed."""
    from flashdreams.bench.cold import cold_start
    from flashdreams.bench.document import comparison, document, last_line, people_table
    from flashdreams.bench.measuring import measure

    child = ["bench", *_without(argv, _NOT_OF_A_CHILD), _FIRST_CHUNK.name]
    if effort.cold:
        times = f", {effort.cold} times" if effort.cold > 1 else ""
        _say(f"Starting a new process for the first chunk of {request.slug}{times}.")
    cold = [cold_start(child) for _ in range(effort.cold)]
    command = f"flashdreams bench {shlex.join(argv)}"
    _say(f"Measuring {request.slug} in this process, {effort.chunks} chunks at full window and others.")
    figures = measure(request.config, chunks=effort.chunks, command=command, cold=cold)
    compared = [] if before is None else [comparison(before, figures)]
    if page is not None:
        from flashdreams.io.outputs import write_text

        write_text(page, document(figures, *compared), make_folder=True)
    people = [] if JSON.name in request.options else [people_table(figures), *compared]
    return "\n\n".join([*people, last_line(figures)])


@dataclass(frozen=True)
class Effort:
    """How much is measured."""

    chunks: int
    """Chunks at full window."""
    cold: int
    """Cold starts."""


def _say(text: str) -> None:
    """Tell who waits at a terminal what is going on."""
    if sys.stderr.isatty():
        print(text, file=sys.stderr, flush=True)


def _without(argv: Sequence[str], options: Sequence[Option]) -> list[str]:
    """The line without some of its options."""
    return take_options(argv, options)[1]


def _count(options: Mapping[str, list[str]], option: Option, usual: int, *, least: int) -> int:
    return whole_number(
        option,
        options.get(option.name, [str(usual)])[-1],
        least=least,
        right=f"It is a whole number, {least} or more.",
        next=f"Write {option.name} {usual}, or leave it out.",
    )


def _earlier(request: Request) -> dict[str, Any] | None:
    """The figures of the run to compare with."""
    if _AGAINST.name not in request.options:
        return None
    from flashdreams.io.bench_files import earlier_figures

    return earlier_figures(Path(request.options[_AGAINST.name][-1]), request.slug)


def _page(request: Request) -> Path | None:
    """The document to write, refused before anything is measured where it could not be."""
    if _DOCUMENT.name not in request.options:
        return None
    from flashdreams.io.bench_files import check_document

    path = Path(request.options[_DOCUMENT.name][-1])
    check_document(path, request.slug)
    return path
