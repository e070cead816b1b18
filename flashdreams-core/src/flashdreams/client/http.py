"""Requests to a server, by HTTP."""

from __future__ import annotations

import http.client
import json
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import IO, Any

from flashdreams.client.messages import foreign_answer, refused
from flashdreams.errors import NoServerError, ServerError

PATIENCE = 30.0
"""Seconds until an answer is given up."""
MOST_BYTES = 4 * 1024**3
"""Of an answer; a saved video is the largest."""
LOOPBACK = ("127.0.0.1", "::1", "localhost")


@dataclass(frozen=True)
class Address:
    """Where a server is, and what it is shown.

    Raises:
        NoServerError: The address is none of HTTP.
    """

    url: str
    """Such as ``http://127.0.0.1:8000``."""
    token: str | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        parts = urllib.parse.urlsplit(self.url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise NoServerError(
                f"The address of the server is {self.url!r}.",
                "It is http://HOST:PORT, or https:// where TLS stands in front.",
                "Take it from the line that `flashdreams serve` prints.",
                code="no_address",
            )

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
    except (OSError, http.client.HTTPException) as error:
        raise nobody_answers(address, error) from error


def nobody_answers(address: Address, error: Exception) -> NoServerError:
    """The error where no connection comes about."""
    reason = getattr(error, "reason", None) or error
    return NoServerError(
        f"No answer from {address.url}: {str(reason) or type(reason).__name__}.",
        "A server of FlashDreams listens there.",
        "Start one with: flashdreams serve pocket-racer",
        code="no_answer",
    )


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """Follows nobody: a token is for the server that it was given for."""

    def redirect_request(self, *_: Any) -> None:
        """Never."""


def _opener(address: Address) -> urllib.request.OpenerDirector:
    handlers: list[urllib.request.BaseHandler] = [_NoRedirects()]
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
    except (ValueError, KeyError, TypeError, OSError):
        return foreign_answer(f"{error.code} {error.reason}")
    return refused(tree) if isinstance(tree, dict) else foreign_answer(tree)
