"""The way in: everything passes here before any endpoint, and every answer on its way out."""

from __future__ import annotations

import asyncio

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import HTTPConnection, Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocket

from flashdreams_serve.settings import Limits
from flashdreams_serve.web.access import OPEN_PATHS, Access
from flashdreams_serve.web.bodies import LONGEST_OFFER
from flashdreams_serve.web.login import Login
from flashdreams_serve.web.pages import is_page
from flashdreams_serve.web.problems import Problem, problem, problem_of
from flashdreams_serve.web.services import Services

BODY_SECONDS = 30.0
"""Within which a body must be here."""

BYTES_PER_CHARACTER = 12
"""Of JSON, at most: a character beyond 16 bits may be written as two escapes."""

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

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a connection through, or answer it here."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
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
        return None

    def _check_rate(self, connection: HTTPConnection) -> None:
        bucket = self._services.rates.bucket(client_of(connection))
        if not bucket.take():
            raise problem(
                429,
                "too_many_requests",
                "Too many requests came from this address.",
                f"At most {self._services.settings.limits.requests_per_second:g} a second are answered.",
                "Wait a moment.",
                retry_after=str(1 + int(bucket.seconds_to_next)),
            )

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
        if _declared_bytes(scope) > most:
            raise too_large(most)
        return _Body(receive, most).receive

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


class _Body:
    """The body of a request, of which no more is read than may come."""

    def __init__(self, receive: Receive, most: int) -> None:
        self._receive = receive
        self._most = most
        self._came = 0
        self._ends_at = asyncio.get_running_loop().time() + BODY_SECONDS
        self._is_whole = False

    async def receive(self) -> Message:
        """The next part.

        Raises:
            ProblemError: It is too large, or takes too long.
        """
        if self._is_whole:
            return await self._receive()
        try:
            async with asyncio.timeout_at(self._ends_at):
                message = await self._receive()
        except TimeoutError:
            raise problem(
                408,
                "too_slow",
                "The body did not come.",
                f"It comes within {BODY_SECONDS:g} s.",
                "Try again.",
            ) from None
        self._came += len(message.get("body", b""))
        self._is_whole = not message.get("more_body", False)
        if self._came > self._most:
            raise too_large(self._most)
        return message


def _declared_bytes(scope: Scope) -> int:
    declared = Headers(scope=scope).get("content-length", "")
    return int(declared) if declared.isdecimal() else 0


def too_large(most: int) -> Exception:
    """What somebody is told whose body is larger than it may be."""
    return problem(
        413, "too_large", "The body is too large.", f"It has at most {most} bytes.", "Send a smaller one."
    )


def most_bytes(scope: Scope, limits: Limits) -> int:
    """Bytes that the body of a request may have."""
    path = scope["path"]
    if path == "/v1/images":
        return limits.upload_bytes
    if path.endswith("/offer"):
        return BYTES_PER_CHARACTER * LONGEST_OFFER + limits.message_bytes
    return limits.log_bytes if path == "/v1/sessions" else limits.message_bytes


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
