"""Who may come in: the token, the name that the server is called by, and where a page comes from."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable
from urllib.parse import urlsplit

from starlette.requests import HTTPConnection

from flashdreams_serve.settings import ServeSettings
from flashdreams_serve.web.problems import ProblemError, problem

COOKIE = "flashdreams_serve"
BEARER_SUBPROTOCOL = "bearer."
OPEN_PATHS = frozenset({"/healthz", "/readyz"})
"""What is answered to everybody."""

_LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})
_SAFE_METHODS = frozenset({"GET", "HEAD"})


class Access:
    """Checks each connection before anything else looks at it."""

    def __init__(self, settings: ServeSettings) -> None:
        self._settings = settings
        self._token = settings.token.encode() if settings.token else None
        self._names = _LOOPBACK_NAMES | {settings.host.lower(), *_hosts(settings.origins)}

    @property
    def cookie(self) -> str:
        """What a browser keeps instead of the token, from which the token cannot be had."""
        return hmac.new(self._token or b"", b"flashdreams-serve cookie 1", hashlib.sha256).hexdigest()

    def check_name(self, connection: HTTPConnection) -> None:
        """Refuse a page that has bent its own name to this machine's address (DNS rebinding).

        Raises:
            ProblemError: A server that only this machine reaches was called by a foreign name.
        """
        if not self._settings.is_loopback:
            return
        if _host_of(f"//{connection.headers.get('host', '')}") not in self._names:
            raise problem(
                403,
                "foreign_name",
                "The server was called by a name that is not its own.",
                "It is localhost, or a name that --origin gives it.",
                "Call it by that name.",
            )

    def check_origin(self, connection: HTTPConnection) -> None:
        """Refuse what the page of another server would do or open.

        Raises:
            ProblemError: It comes from a page of a foreign origin.
        """
        is_safe = connection.scope["type"] == "http" and connection.scope["method"] in _SAFE_METHODS
        origin = connection.headers.get("origin")
        if is_safe or origin is None or self.is_invited(origin) or _is_own(origin, connection):
            return
        raise problem(
            403,
            "foreign_origin",
            "The page that asks comes from another server.",
            "Pages of this server may use it, and those of the origins that it was told of.",
            "Open the server's own page, or start it with --origin.",
        )

    def is_invited(self, origin: str | None) -> bool:
        """Whether the pages of a foreign origin may use the server."""
        return origin is not None and origin in self._settings.origins

    def check_token(self, connection: HTTPConnection) -> None:
        """Refuse whoever does not show the token.

        Raises:
            ProblemError: It is missing or wrong.
        """
        if not self.shows_token(connection):
            raise no_token()

    @property
    def is_open(self) -> bool:
        """Whether there is no token to show: only where nobody but this machine can ask."""
        return self._token is None and self._settings.is_loopback

    def is_token(self, given: str) -> bool:
        """Whether somebody gave the token. It takes as long however much of it is right."""
        return self._token is not None and _same(given, self._token)

    def shows_token(self, connection: HTTPConnection) -> bool:
        """Whether it shows the token, or what a browser keeps of it, where there is one to show."""
        given = (*_bearer(connection), *_offered(connection))
        if self.is_open or any(self.is_token(each) for each in given):
            return True
        cookie = connection.cookies.get(COOKIE)
        return self._token is not None and cookie is not None and _same(cookie, self.cookie.encode())


def no_token() -> ProblemError:
    """What somebody without the token is told."""
    return problem(
        401,
        "no_token",
        "The token is missing or wrong.",
        "A request carries the server's token as Authorization: Bearer TOKEN.",
        "Ask whoever runs the server for it.",
        www_authenticate="Bearer",
    )


def _bearer(connection: HTTPConnection) -> Iterable[str]:
    kind, _, token = connection.headers.get("authorization", "").partition(" ")
    return (token.strip(),) if kind.lower() == "bearer" else ()


def _offered(connection: HTTPConnection) -> Iterable[str]:
    """Tokens that a WebSocket offers as a subprotocol."""
    offered = connection.scope.get("subprotocols", ())
    return [each.removeprefix(BEARER_SUBPROTOCOL) for each in offered if each.startswith(BEARER_SUBPROTOCOL)]


def _same(given: str, right: bytes) -> bool:
    return hmac.compare_digest(given.encode(errors="surrogateescape"), right)


def _is_own(origin: str, connection: HTTPConnection) -> bool:
    """Whether a page comes from here. The scheme is left out: TLS may end in front of the server."""
    scheme, separator, place = origin.lower().partition("://")
    is_web = scheme in ("http", "https") and bool(separator)
    return is_web and place == connection.headers.get("host", "").lower()


def _hosts(origins: Iterable[str]) -> set[str]:
    return {host for host in map(_host_of, origins) if host}


def _host_of(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""
