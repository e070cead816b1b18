"""How FastAPI answers when something is wrong, and how that is told in the OpenAPI."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from flashdreams.errors import FlashDreamsError
from flashdreams_serve.web.bodies import ProblemBody
from flashdreams_serve.web.gate import problem_response
from flashdreams_serve.web.messages import fault_in
from flashdreams_serve.web.problems import Problem, ProblemError, problem_of

MEANINGS = {
    400: "The request cannot be understood.",
    401: "The token is missing or wrong.",
    403: "It comes from a foreign page, or calls the server by a foreign name.",
    404: "There is no such thing.",
    405: "There is something of this name, and it cannot be used so.",
    408: "The body did not come in time.",
    409: "Well said, but impossible here and now.",
    413: "The body is too large.",
    415: "The body is of a type that is not taken.",
    422: "The request does not say what it must.",
    429: "Too many requests, or too many sessions: wait, as Retry-After says.",
    500: "Something went wrong in the server.",
    503: "The server cannot do it now.",
    507: "The server's disk or quota is full.",
}
EVERYWHERE = (400, 401, 403, 429, 500)
"""Statuses that any request may be answered with."""

_WHAT = {
    404: ("not_found", "There is nothing at this address.", "See /docs for what there is."),
    405: ("wrong_method", "This cannot be done with what is at this address.", "See /docs for what can."),
}


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The answers of an endpoint in which something is wrong, for its OpenAPI."""
    return {
        status: {"model": ProblemBody, "description": MEANINGS[status]}
        for status in sorted({*EVERYWHERE, *statuses})
    }


def install(app: FastAPI) -> None:
    """Answer whatever goes wrong as the protocol says."""
    app.add_exception_handler(RequestValidationError, _not_understood)
    app.add_exception_handler(HTTPException, _of_http)
    for kind in (ProblemError, FlashDreamsError):
        app.add_exception_handler(kind, _told)


async def _told(request: Request, error: Exception) -> Response:
    return _counted(request, problem_of(error))


async def _not_understood(request: Request, error: Exception) -> Response:
    fault = fault_in(error.errors()) if isinstance(error, RequestValidationError) else "It"
    return _counted(
        request,
        Problem(
            status=422,
            code="bad_request",
            what=f"The request cannot be understood. {fault}.",
            right="Requests are as /docs says, with these fields and no others.",
            next="Correct it.",
        ),
    )


async def _of_http(request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    headers = getattr(error, "headers", None) or {}
    code, what, next_ = _WHAT.get(status, ("bad_request", MEANINGS.get(status, "No."), "Correct it."))
    told = Problem(
        status=status, code=code, what=what, right="Requests are as /docs says.", next=next_, headers=headers
    )
    return _counted(request, told)


def _counted(request: Request, told: Problem) -> Response:
    request.app.state.services.metrics.refused(told.code)
    return problem_response(told)
