"""``flashdreams serve-bench SLUG``: how fast a server of a slug is, as its clients see it."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from flashdreams.cli.options import JSON, OFFLINE, Option, stdout_kept, take_options, whole_number
from flashdreams.cli.request import Request, SlugCommand
from flashdreams.client.messages import CODECS
from flashdreams.errors import UsageError, did_you_mean
from flashdreams_serve.commands.options import BATCH, NO_WEBRTC

if TYPE_CHECKING:
    from flashdreams_serve.bench.crowd import Order
    from flashdreams_serve.bench.figures import Figures

SUMMARY = "Measure a server with headless clients: latency from key to pixel, fairness, rates."

TRANSPORTS = ("websocket", "webrtc")

_CLIENTS = Option("--clients", "Clients that drive at once, 1 where it is not said.", "N")
_SECONDS = Option("--seconds", "Seconds to measure, 20 where it is not said.", "N")
_TRANSPORT = Option("--transport", "websocket or webrtc; websocket where it is not said.", "NAME")
_CODEC = Option("--codec", "jpeg, png, rgb or h264, by WebSocket; jpeg where it is not said.", "NAME")
_SERVER = Option("--server", "Measure a server that runs already, instead of starting one.", "URL")
_DOCUMENT = Option("--document", "Write the figures as a document, .md.", "FILE")
_OWN = (_CLIENTS, _SECONDS, _TRANSPORT, _CODEC, _SERVER, _DOCUMENT, JSON)
COMMAND = SlugCommand("serve-bench", SUMMARY, (*_OWN, BATCH, NO_WEBRTC, OFFLINE))


def main(argv: Sequence[str]) -> int:
    """Measure what the line would serve.

    Raises:
        FlashDreamsError: Something that the user can put right.
    """
    request = COMMAND.read(argv)
    if request is None:
        return 0
    page = _page(request)
    with stdout_kept():
        text = _measured(request, argv, page)
    print(text)
    return 0


def _measured(request: Request, argv: Sequence[str], page: Path | None) -> str:
    """Measure, write the document where one is wanted, and return what is printed."""
    from flashdreams_serve.bench.document import document, last_line, people_table

    figures = _figures(request, argv, _order(request.options))
    if page is not None:
        from flashdreams.io.outputs import write_text

        write_text(page, document(figures), make_folder=True)
    people = [] if JSON.name in request.options else [people_table(figures)]
    return "\n\n".join([*people, last_line(figures)])


def _figures(request: Request, argv: Sequence[str], order: Order) -> Figures:
    from flashdreams_serve.bench.measuring import measure, running_at, server_of

    command = f"flashdreams serve-bench {shlex.join(argv)}"
    if order.url:
        return measure(running_at(order.url, request.slug), order, request.slug, command)
    _say(f"Starting a server of {request.slug}.")
    with server_of(take_options(argv, _OWN)[1], order.clients) as served:
        _say(f"Measuring it with {order.clients} clients for {order.seconds:g} s.")
        return measure(served, order, request.slug, command)


def _order(options: Mapping[str, list[str]]) -> Order:
    from flashdreams_serve.bench.crowd import Order

    url = options.get(_SERVER.name, [""])[-1]
    return Order(
        url=url,
        clients=_count(options, _CLIENTS, 1),
        seconds=_count(options, _SECONDS, 20),
        transport=_one_of(options, _TRANSPORT, TRANSPORTS),
        codec=_one_of(options, _CODEC, CODECS),
        knock=not url,
    )


def _count(options: Mapping[str, list[str]], option: Option, usual: int) -> int:
    return whole_number(
        option,
        options.get(option.name, [str(usual)])[-1],
        right="It is a whole number, 1 or more.",
        next=f"Write {option.name} {usual}, or leave it out.",
    )


def _one_of(options: Mapping[str, list[str]], option: Option, known: Sequence[str]) -> str:
    """The value of an option that names one of a few; the first where it is left out."""
    name = options.get(option.name, [known[0]])[-1]
    if name not in known:
        raise UsageError(f"{option.name} is {name!r}.", did_you_mean(name, known), f"Write {known[0]}.")
    return name


def _page(request: Request) -> Path | None:
    """The document to write, refused before anything is measured where it could not be."""
    if _DOCUMENT.name not in request.options:
        return None
    from flashdreams.io.bench_files import check_document

    path = Path(request.options[_DOCUMENT.name][-1])
    check_document(path, request.slug, command=COMMAND.name)
    return path


def _say(text: str) -> None:
    """Tell who waits at a terminal what is going on."""
    if sys.stderr.isatty():
        print(text, file=sys.stderr, flush=True)
