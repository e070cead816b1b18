"""Listens, and ends in order: sessions are drained before connections are closed."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
import ssl
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from types import FrameType

import uvicorn
from starlette.types import ASGIApp

from flashdreams.errors import UsageError
from flashdreams_serve.settings import ServeSettings

_BACKLOG = 256
_MOST_CONNECTIONS = 1024
_CLOSING_SECONDS = 3
"""How long connections may take to close once their sessions are over."""
_ELSEWHERE = {"0.0.0.0": "192.0.2.1", "::": "2001:db8::1"}
"""For each address that stands for all of this machine, one of documentation, which nobody has."""
_ROOM_FOR_CLOSING = 1024
"""Bytes above the limit that still reach the code that refuses them in words."""


class DrainingServer(uvicorn.Server):
    """An HTTP server that answers while its sessions end, and only then closes.

    Args:
        app: The application.
        settings: Where it listens, and the sizes that it takes.
        on_listening: Called once connections are taken.
        drain: Ends the sessions, within its own deadline.
    """

    def __init__(
        self,
        app: ASGIApp,
        settings: ServeSettings,
        *,
        on_listening: Callable[[], None],
        drain: Callable[[], Awaitable[None]],
    ) -> None:
        super().__init__(_uvicorn_config(app, settings))
        logging.getLogger("uvicorn.error").addFilter(_is_no_refusal)
        self._on_listening = on_listening
        self._drain = drain

    def run_at(self, listening: socket.socket) -> None:
        """Serve until a signal, or :meth:`end`, says to end. To be called in the main thread."""
        asyncio.run(self.serve([listening]))

    def end(self) -> None:
        """End in order, soon."""
        self.should_exit = True

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to take connections."""
        await super().startup(sockets)
        if self.started:
            self._on_listening()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Let sessions end, then close."""
        await self._drain()
        await super().shutdown(sockets)

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Take the first SIGINT or SIGTERM as the wish to end in order; the second ends at once."""
        before = {number: signal.signal(number, self._receive) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _receive(self, number: int, frame: FrameType | None) -> None:
        if self.should_exit:
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)
        self.end()


def check_certificate(settings: ServeSettings) -> None:
    """Refuse a certificate and a key that TLS does not take, before anything is loaded.

    Raises:
        UsageError: They are damaged, or do not belong together.
    """
    if settings.certificate is None:
        return
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(settings.certificate, settings.key)
    except OSError as error:  # of which the errors of TLS are some
        raise UsageError(
            f"{settings.certificate} and {settings.key} are no certificate and its key: "
            f"{error.strerror or error}.",
            "Both are PEM, and the key is that of the certificate.",
            "Check the two files.",
        ) from error


def listen(settings: ServeSettings) -> socket.socket:
    """A socket that listens at the address of the settings.

    Raises:
        UsageError: There is no such address here, or its port is taken.
    """
    is_v6 = ":" in settings.host
    try:
        listening = socket.create_server(
            (settings.host, settings.port),
            family=socket.AF_INET6 if is_v6 else socket.AF_INET,
            backlog=_BACKLOG,
        )
        # Connections inherit it. Without it a frame waits some 40 ms for the receipt of the one before.
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return listening
    except (OSError, OverflowError) as error:
        reason = (getattr(error, "strerror", None) or str(error)).rstrip(".")
        raise UsageError(
            f"The server cannot listen at {settings.host}, port {settings.port}: {reason}.",
            "It listens at an address of this machine, on a port that no other program has taken.",
            "Choose another with --port, for instance --port 0 for any that is free, or another --host.",
        ) from error


def url_of(settings: ServeSettings, listening: socket.socket) -> str:
    """Where a browser on this machine finds the page."""
    host, port = listening.getsockname()[:2]
    scheme = "https" if settings.certificate else "http"
    reachable = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    return f"{scheme}://{f'[{reachable}]' if ':' in reachable else reachable}:{port}/"


def url_elsewhere(settings: ServeSettings, listening: socket.socket) -> str | None:
    """Where other machines find the page; None where only this machine does, or as :func:`url_of` says."""
    host, port = listening.getsockname()[:2]
    if host not in _ELSEWHERE:
        return None
    address = _own_address(listening.family, _ELSEWHERE[host])
    named = f"[{address}]" if ":" in address else address
    return f"{'https' if settings.certificate else 'http'}://{named or '<address of this machine>'}:{port}/"


def _own_address(family: int, elsewhere: str) -> str:
    """The address from which this machine would send somewhere; empty where it would not. Nothing is sent."""
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as asking:
            asking.connect((elsewhere, 9))
            return str(asking.getsockname()[0])
    except OSError:
        return ""


def _is_no_refusal(record: logging.LogRecord) -> bool:
    """Whether a line says something: uvicorn 0.54 takes a WebSocket that was refused for an error."""
    return "without completing handshake" not in record.getMessage()


def _uvicorn_config(app: ASGIApp, settings: ServeSettings) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        ws="websockets-sansio",
        ws_max_size=settings.limits.message_bytes + _ROOM_FOR_CLOSING,
        ws_per_message_deflate=False,  # pictures are compressed already
        log_config=None,
        access_log=False,  # paths hold the names of sessions, which are their keys,
        log_level=logging.WARNING,  # and so does what is said of each WebSocket
        limit_concurrency=_MOST_CONNECTIONS,
        server_header=False,
        proxy_headers=settings.behind_proxy,
        forwarded_allow_ips="127.0.0.1,::1" if settings.behind_proxy else None,
        timeout_graceful_shutdown=_CLOSING_SECONDS,
        ssl_certfile=settings.certificate,
        ssl_keyfile=settings.key,
        lifespan="on",
    )
