"""Requests to a server, by HTTP."""

from __future__ import annotations

import http.client
import json
import ssl
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from flashdreams.client.messages import foreign_answer, refused
from flashdreams.errors import NoServerError, ServerError, ServerRefusedError

PATIENCE = 30.0
"""Seconds until an answer is given up."""
MOST_BYTES = 4 * 1024**3
"""Of an answer; a saved video is the largest."""
LOOPBACK = ("127.0.0.1", "::1", "localhost")


@dataclass(frozen=True)
class Address:
    """Where a server is, and what it is shown.

    Raises:
        NoServerError: The address is none of HTTP, or the file holds no certificate.
        ServerRefusedError: The token is none that could be shown.
    """

    url: str
    """Such as ``http://127.0.0.1:8000``."""
    token: str | None = field(default=None, repr=False)
    certificate: str | Path | None = None
    """A file with certificates, PEM, that are trusted instead of the authorities that the system trusts."""
    tls: ssl.SSLContext | None = field(init=False, repr=False, compare=False)
    """What is trusted; None without TLS."""

    def __post_init__(self) -> None:
        parts = _parts(self.url)
        if parts is None or parts.scheme not in ("http", "https") or not parts.hostname:
            raise NoServerError(
                f"The address of the server is {self.url!r}.",
                "It is http://HOST:PORT, or https:// where TLS stands in front.",
                "Take it from the line that `flashdreams serve` prints.",
                code="no_address",
            )
        if self.token and not (self.token.isascii() and self.token.isprintable()):
            raise ServerRefusedError(
                "The token holds what no header can carry.",
                "A token is printable ASCII.",
                "See that no line break was copied with it.",
                code="bad_token",
            )
        object.__setattr__(self, "tls", _trust(self.certificate) if parts.scheme == "https" else None)

    @property
    def is_loopback(self) -> bool:
        """Whether it is on this machine, where no proxy is asked."""
        return urllib.parse.urlsplit(self.url).hostname in LOOPBACK

    @property
    def headers(self) -> dict[str, str]:
        """What every request carries."""
        return {"Authorization": f"Bearer {self.token}"} if self.token else {}

    def of(self, path: str) -> str:
        """The URL of a path, such as ``/v1/models``."""
        return self.url.rstrip("/") + path

    def of_websocket(self, path: str) -> str:
        """The same for a WebSocket."""
        return "ws" + self.of(path).removeprefix("http")


def ask(
    address: Address, method: str, path: str, body: Mapping[str, Any] | bytes | None = None, kind: str = ""
) -> Any:
    """Send a request and wait for its answer. Blocks.

    Args:
        address: Of the server.
        method: ``GET``, ``POST``, ...
        path: With its slash.
        body: Plain values, sent as JSON; or bytes.
        kind: The media type of bytes.

    Returns:
        Plain values where the answer is JSON, else bytes; None where there is none.

    Raises:
        ServerRefusedError: The server says no.
        NoServerError: Nobody answers, or not as a server of FlashDreams does.
    """
    data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
    headers = dict(address.headers)
    if data is not None:
        headers["Content-Type"] = kind or "application/json"
    request = urllib.request.Request(address.of(path), data, headers, method=method)
    try:
        with _opener(address).open(request, timeout=PATIENCE) as answer:
            return _read(answer, answer.headers.get_content_type())
    except urllib.error.HTTPError as error:
        with error:
            raise _said_no(error) from error
    except (http.client.HTTPException, ConnectionResetError) as error:
        raise speaks_otherwise(address, "HTTP", error) from error
    except OSError as error:
        raise nobody_answers(address, error) from error


def nobody_answers(address: Address, error: Exception) -> NoServerError:
    """The error where no connection comes about."""
    reason = error.reason if isinstance(error, urllib.error.URLError) else error
    if isinstance(reason, ssl.SSLCertVerificationError):
        return _not_trusted(address, reason)
    if isinstance(reason, ssl.SSLError):
        return speaks_otherwise(address, "TLS", reason)
    if isinstance(reason, ConnectionResetError):
        return speaks_otherwise(address, "HTTP", reason)
    return NoServerError(
        f"No answer from {address.url}: {str(reason) or type(reason).__name__}.",
        "A server of FlashDreams listens there.",
        "Start one with: flashdreams serve pocket-racer",
        code="no_answer",
    )


def speaks_otherwise(address: Address, expected: str, error: Exception) -> NoServerError:
    """The error where somebody answers, and in another language than the ``expected`` one."""
    other = "http" if address.tls else "https"
    return NoServerError(
        f"Somebody answers at {address.url}, but not as {expected} does: {error or type(error).__name__}.",
        "https:// is for a server with a certificate, or with a proxy that has one; http:// for any other.",
        f"Try {other}:// instead, and see that a server of FlashDreams listens there.",
        code=f"no_{expected.lower()}",
    )


def _not_trusted(address: Address, error: ssl.SSLCertVerificationError) -> NoServerError:
    return NoServerError(
        f"The certificate of {address.url} is not trusted: {error.verify_message.rstrip('.')}.",
        "It names the host of the address, and is trusted by this machine or was given to the client.",
        "If it is the server's own, give its file to the client as certificate=PATH, or set SSL_CERT_FILE.",
        code="not_trusted",
    )


def _trust(certificate: str | Path | None) -> ssl.SSLContext:
    """What trusts a file of certificates alone, or what the system trusts."""
    try:
        return ssl.create_default_context(cafile=certificate)
    except OSError as error:  # of which the errors of TLS are some
        raise NoServerError(
            f"{certificate} holds no certificate: {error.strerror or error}.",
            "A file of certificates is PEM, such as the one of `flashdreams serve --tls-certificate`.",
            "Check the path and the file.",
            code="no_certificate",
        ) from error


def _parts(url: str) -> urllib.parse.SplitResult | None:
    """The parts of an address; None where it is none."""
    try:
        return urllib.parse.urlsplit(url)
    except ValueError:
        return None


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """Follows nobody: a token is for the server that it was given for."""

    def redirect_request(self, *_: Any) -> None:
        """Never."""


def _opener(address: Address) -> urllib.request.OpenerDirector:
    handlers: list[urllib.request.BaseHandler] = [_NoRedirects()]
    if address.tls:
        handlers.append(urllib.request.HTTPSHandler(context=address.tls))
    if address.is_loopback:
        handlers.append(urllib.request.ProxyHandler({}))
    return urllib.request.build_opener(*handlers)


def _read(answer: IO[bytes], kind: str) -> Any:
    data = answer.read(MOST_BYTES)
    if kind != "application/json":
        return data or None
    try:
        return json.loads(data) if data else None
    except ValueError as error:
        raise foreign_answer(data[:60]) from error


def _said_no(error: urllib.error.HTTPError) -> ServerError:
    """The error that an answer holds, or that it holds none."""
    try:
        tree = json.loads(error.read(64 * 1024))["error"]
    except (ValueError, KeyError, TypeError, OSError, http.client.HTTPException):
        return foreign_answer(f"{error.code} {error.reason}")
    return refused(tree) if isinstance(tree, dict) else foreign_answer(tree)
