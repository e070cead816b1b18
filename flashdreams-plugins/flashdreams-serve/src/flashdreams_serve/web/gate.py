"""The way in: everything passes here before any endpoint, and every answer on its way out."""

from __future__ import annotations

from starlette.datastructures import MutableHeaders
from starlette.requests import HTTPConnection, Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocket

from flashdreams_serve.web.access import OPEN_PATHS, Access
from flashdreams_serve.web.login import Login
from flashdreams_serve.web.pages import is_page
from flashdreams_serve.web.problems import Problem, problem, problem_of
from flashdreams_serve.web.rates import Bucket, Rates
from flashdreams_serve.web.services import Services
from flashdreams_serve.web.sizes import Body, declared_bytes, may_be_large, most_bytes, too_large

LARGE_BODIES_PER_SECOND = 0.2
"""Control logs of one client that are too large for a message: each takes long to read."""

_CLOSINGS = {401: 4401, 403: 4403, 404: 4404, 429: 4429}
"""How a WebSocket is closed where its server cannot answer by HTTP."""
_HEADERS = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "x-frame-options": "DENY",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
}
"""Of every answer that does not say otherwise itself."""


class Gate:
    """Refuses who may not come in, bounds what comes in, and lets no exception out."""

    def __init__(self, app: ASGIApp, services: Services) -> None:
        self._app = app
        self._services = services
        self._access = Access(services.settings)
        self._login = Login(self._access)
        self._large = Rates(LARGE_BODIES_PER_SECOND)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a connection through, or answer it here."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        if scope.get("method") == "HEAD":
            scope = {**scope, "method": "GET"}  # whose body the server then leaves out
        connection = HTTPConnection(scope)
        outgoing = _Outgoing(send, self._shared_with(connection))
        try:
            answer = await self._checked(connection, receive)
            if answer is None:
                await self._app(scope, self._bounded(scope, receive), outgoing)
                return
        except Exception as error:
            answer = self._answer(error, connection)
        await self._deny(answer, scope, receive, outgoing)

    async def _checked(self, connection: HTTPConnection, receive: Receive) -> Response | None:
        """What to answer without asking the application; None to ask it."""
        access, scope = self._access, connection.scope
        access.check_name(connection)
        if scope["path"] in OPEN_PATHS:
            return None
        if not (is_page(scope["path"]) and access.shows_token(connection)):
            self._check_rate(connection)
        if _is_preflight(connection) and access.is_invited(connection.headers.get("origin")):
            return _preflight()
        access.check_origin(connection)
        if scope["type"] == "http":
            answer = await self._login.answer(Request(scope, self._bounded(scope, receive)))
            if answer is not None:
                return answer
        access.check_token(connection)
        if may_be_large(scope, self._services.settings.limits):
            _take(self._large.bucket(client_of(connection)), "Large control logs", LARGE_BODIES_PER_SECOND)
        return None

    def _check_rate(self, connection: HTTPConnection) -> None:
        per_second = self._services.settings.limits.requests_per_second
        _take(self._services.rates.bucket(client_of(connection)), "Requests", per_second)

    def _answer(self, error: Exception, connection: HTTPConnection) -> Response:
        told = problem_of(error)
        self._services.metrics.refused(told.code)
        if told.code == "no_token" and self._login.wants_page(connection):
            return self._login.page(401)
        return problem_response(told)

    def _shared_with(self, connection: HTTPConnection) -> dict[str, str]:
        """Headers by which a browser lets the page of an invited origin read the answer."""
        origin = connection.headers.get("origin")
        if origin is None or not self._access.is_invited(origin):
            return {}
        return {
            "access-control-allow-origin": origin,
            "cross-origin-resource-policy": "cross-origin",
            "vary": "Origin",
        }

    def _bounded(self, scope: Scope, receive: Receive) -> Receive:
        if scope["type"] != "http":
            return receive
        most = most_bytes(scope, self._services.settings.limits)
        if declared_bytes(scope) > most:
            raise too_large(most)
        return Body(receive, most).receive

    async def _deny(self, answer: Response, scope: Scope, receive: Receive, outgoing: _Outgoing) -> None:
        if outgoing.began:
            await outgoing.break_off(scope["type"])
        elif scope["type"] == "http":
            await answer(scope, receive, outgoing)
        else:
            await deny(WebSocket(scope, receive, outgoing), answer)


async def deny(websocket: WebSocket, answer: Response) -> None:
    """Refuse a WebSocket before it is one: by HTTP where its server can, else by a code."""
    if "websocket.http.response" in websocket.scope.get("extensions", {}):
        await websocket.send_denial_response(answer)
    else:
        await websocket.close(_CLOSINGS.get(answer.status_code, 1011))


class _Outgoing:
    """What goes out, with the headers that every answer has."""

    def __init__(self, send: Send, further: dict[str, str]) -> None:
        self._send = send
        self._headers = _HEADERS | further
        self.began = False

    async def __call__(self, message: Message) -> None:
        self.began = True
        if message["type"] in ("http.response.start", "websocket.http.response.start"):
            headers = MutableHeaders(scope=message)
            for name, value in self._headers.items():
                headers.setdefault(name, value)
        await self._send(message)

    async def break_off(self, kind: str) -> None:
        """End what cannot be answered any more."""
        if kind == "websocket":
            await self._send({"type": "websocket.close", "code": 1011})


def _take(bucket: Bucket, what: str, per_second: float) -> None:
    """Count one more of what comes from an address.

    Raises:
        ProblemError: It is one too many.
    """
    if not bucket.take():
        raise problem(
            429,
            "too_many_requests",
            f"{what} came too often from this address.",
            f"At most {per_second:g} a second are answered.",
            "Wait a moment.",
            retry_after=str(1 + int(bucket.seconds_to_next)),
        )


def problem_response(told: Problem) -> JSONResponse:
    """The answer that tells a client of a problem."""
    return JSONResponse(told.body(), told.status, headers=dict(told.headers))


def client_of(connection: HTTPConnection) -> str:
    """The address that a connection comes from."""
    return connection.client.host if connection.client is not None else "unknown"


def _is_preflight(connection: HTTPConnection) -> bool:
    scope: Scope = connection.scope
    return (
        scope["type"] == "http"
        and scope["method"] == "OPTIONS"
        and "access-control-request-method" in connection.headers
    )


def _preflight() -> Response:
    return Response(
        status_code=204,
        headers={
            "access-control-allow-methods": "GET, POST, DELETE",
            "access-control-allow-headers": "authorization, content-type",
            "access-control-max-age": "600",
        },
    )
