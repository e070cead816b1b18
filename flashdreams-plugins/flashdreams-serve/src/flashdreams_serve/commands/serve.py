"""``flashdreams serve SLUG``: a page on which people dream live."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import sys
import threading
import time
import webbrowser
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NoReturn

from flashdreams.cli.console import counted, set_up_logging
from flashdreams.cli.options import OFFLINE, VERBOSE
from flashdreams.cli.request import SlugCommand
from flashdreams.infra.device import check_device
from flashdreams.io.hub import check_here, fetching_for, is_offline, offline
from flashdreams.io.lock import references_of
from flashdreams_serve.commands.options import NEW_TOKEN, NO_BROWSER, SERVER_OPTIONS, read_settings

if TYPE_CHECKING:
    from flashdreams.cli.request import Request
    from flashdreams_serve.host.host import Host
    from flashdreams_serve.media.shelf import Shelf
    from flashdreams_serve.settings import ServeSettings

SUMMARY = "Dream live: serve a slug to browsers, for several people at once."
COMMAND = SlugCommand("serve", SUMMARY, (*SERVER_OPTIONS, OFFLINE, VERBOSE))

_SWITCH_SECONDS = 0.0005
"""How long a thread keeps the interpreter while another waits for it. Python's 5 ms are a third of what
pocket-racer takes for a chunk, and it hands the interpreter over some hundred times in one."""


def main(argv: Sequence[str]) -> int:
    """Serve what the line says, until a signal ends it.

    Raises:
        FlashDreamsError: Something that the user can put right.
    """
    request = COMMAND.read(argv)
    if request is None:
        return 0
    set_up_logging(len(request.options.get(VERBOSE.name, [])))
    settings = read_settings(request.options)
    check_device(request.config.device)
    with fetching_for(request.slug), offline(OFFLINE.name in request.options):
        if is_offline():
            check_here(references_of(request.config))
        return _serve(request, settings)


def _serve(request: Request, settings: ServeSettings) -> int:
    from flashdreams_serve.host.host import Host
    from flashdreams_serve.host.pace import Pace
    from flashdreams_serve.media.reel import Reels
    from flashdreams_serve.media.shelf import Shelf
    from flashdreams_serve.web.app import make_app
    from flashdreams_serve.web.metrics import Metrics
    from flashdreams_serve.web.server import DrainingServer, check_certificate, listen, url_elsewhere, url_of

    check_certificate(settings)
    sys.setswitchinterval(_SWITCH_SECONDS)
    metrics = Metrics()
    shelf = Shelf(settings.save_dir, settings.limits.saved_bytes)
    reels = Reels(shelf, keep_seconds=settings.limits.keep_seconds, scale=request.config.scale)
    host = Host(request.config, settings, observer=Pace(metrics), recorder=reels.recorder)
    with listen(settings) as listening:
        url, elsewhere = url_of(settings, listening), url_elsewhere(settings, listening)

        def on_listening() -> None:
            _announce(request, settings, url, elsewhere)
            host.start()
            threading.Thread(target=_watch, args=(host, server.end), daemon=True).start()

        async def drain() -> None:
            print("Ending: sessions are closed, and what they keep is saved.", file=sys.stderr, flush=True)
            await asyncio.to_thread(host.drain, settings.limits.drain_seconds)

        app = make_app(host, settings, shelf=shelf, metrics=metrics)
        server = DrainingServer(app, settings, on_listening=on_listening, drain=drain)
        server.run_at(listening)
    has_ended = host.stop()
    reels.close()
    _say_saved(shelf, settings)
    if host.failure is not None:
        raise host.failure
    if not has_ended:
        _end_at_once()
    return 0


def _end_at_once() -> NoReturn:
    """End while a thread still computes, on which Python's own way out would crash."""
    logging.shutdown()
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(0)


def _announce(request: Request, settings: ServeSettings, url: str, elsewhere: str | None) -> None:
    """Say where the page is, and open it where somebody sits before this machine."""
    token = f"?token={settings.token}" if NEW_TOKEN.name in request.options else ""
    link = f"{url}{token}"
    lines = [f"Serving {request.slug} at {link}"]
    if elsewhere is not None:
        lines.append(f"From other machines: {elsewhere}{token}")
    if not settings.is_loopback and settings.certificate is None and not settings.behind_proxy:
        lines.append("Nothing encrypts the way here: put TLS in front (docs/serve.md says how).")
    print("\n".join(lines), file=sys.stderr, flush=True)
    if NO_BROWSER.name not in request.options and sys.stdout.isatty():
        _open_browser(link)


def _open_browser(url: str) -> None:
    """Open the page; not in a browser of text, which would take this terminal."""
    try:
        browser = webbrowser.get()
    except webbrowser.Error:
        return
    if type(browser) is not webbrowser.GenericBrowser:
        browser.open(url)


def _watch(host: Host, give_up: Callable[[], None]) -> None:
    """Say when the model is there, and give up where it cannot be loaded, or nothing computes any more."""
    began = time.monotonic()
    while not host.wait_ready(timeout=1.0) and host.phase == "loading":
        pass
    if host.phase == "ready":
        _set_aside_what_stays()
        _say_ready(host, time.monotonic() - began)
    host.wait_stopped()
    if host.failure is not None:
        give_up()


def _set_aside_what_stays() -> None:
    """Let Python look for cycles among what comes and goes, not among the objects that stay.

    It looks at all of them once a quarter as many are new: beside torch that is hardly ever, and meanwhile
    each WebRTC connection that has ended, which is full of cycles, keeps its megabytes.
    """
    gc.collect()
    gc.freeze()


def _say_saved(shelf: Shelf, settings: ServeSettings) -> None:
    if shelf.videos:
        text = f"{counted(shelf.videos, 'video')} saved in {settings.save_dir}."
        print(text, file=sys.stderr, flush=True)


def _say_ready(host: Host, seconds: float) -> None:
    sessions = counted(host.sessions_limit, "session")
    print(
        f"Ready after {seconds:.1f} s, for {sessions} at once. Ctrl-C ends it.",
        file=sys.stderr,
        flush=True,
    )
