"""What clients are told when something is wrong: a word for programs, three sentences for people.

Never the text of an exception that was not made for them, never a path or a traceback.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from starlette.exceptions import HTTPException

from flashdreams.errors import ControlError, FlashDreamsError, ImageError, InputError

log = logging.getLogger(__name__)

STATUSES = {
    "queue_full": 429,
    "draining": 503,
    "not_ready": 503,
    "no_memory": 503,
    "no_free_slot": 503,
    "too_many_sessions": 429,
    "disk_full": 507,
    "saved_full": 507,
    "snapshots_full": 507,
    "no_such_snapshot": 404,
    "session_ended": 409,
}
"""HTTP statuses by code; the others are 409: well said, and impossible here and now."""


@dataclass(frozen=True, kw_only=True)
class Problem:
    """Something wrong, as clients are told."""

    status: int
    """Of HTTP."""
    code: str
    what: str
    right: str
    next: str
    headers: Mapping[str, str] = field(default_factory=dict)
    """Further headers of the answer."""

    def sentences(self) -> dict[str, str]:
        """Code and sentences, as they stand in an answer or a message."""
        return {"code": self.code, "what": self.what, "right": self.right, "next": self.next}

    def body(self) -> dict[str, dict[str, str]]:
        """The body of an answer."""
        return {"error": self.sentences()}


class ProblemError(HTTPException):
    """Carries a problem to whoever answers the client, past a framework that lets only its own through."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.status, problem.code)
        self.problem = problem


def problem(status: int, code: str, what: str, right: str, next: str, **headers: str) -> ProblemError:
    """An error to raise: its status, code and sentences, and headers by name (``retry_after="1"``)."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return ProblemError(Problem(status=status, code=code, what=what, right=right, next=next, headers=named))


def problem_of(error: BaseException) -> Problem:
    """What a client is told of an error; one that was not made for clients is logged and only numbered."""
    if isinstance(error, ProblemError):
        return error.problem
    code = _code_of(error)
    if code is None or not isinstance(error, FlashDreamsError):
        return internal(error)
    status = STATUSES.get(code, 409)
    headers = {"retry-after": "2"} if status in (429, 503) else {}
    return Problem(
        status=status, code=code, what=error.what, right=error.right, next=error.next, headers=headers
    )


def internal(error: BaseException) -> Problem:
    """An error of the server's own: written to the log under a number, of which alone the client is told."""
    number = secrets.token_hex(4)
    log.error("Error %s while a client was answered", number, exc_info=error)
    return Problem(
        status=500,
        code="internal",
        what=f"Something went wrong in the server; its log knows it as error {number}.",
        right="It should not have.",
        next="Try again; tell whoever runs the server if it stays so.",
    )


def _code_of(error: BaseException) -> str | None:
    """The code of an error whose sentences are fit for clients, else None."""
    code: Any = getattr(error, "code", None)
    if isinstance(code, str):
        return code
    if isinstance(error, ControlError):
        return "bad_control"
    if isinstance(error, ImageError):
        return "bad_image"
    return "bad_input" if isinstance(error, InputError) else None
