"""How large the body of a request may be, and how long it may take to come."""

from __future__ import annotations

import asyncio

from starlette.datastructures import Headers
from starlette.types import Message, Receive, Scope

from flashdreams_serve.settings import Limits
from flashdreams_serve.web.bodies import LONGEST_OFFER
from flashdreams_serve.web.problems import problem

BODY_SECONDS = 30.0
"""Within which a body must be here."""

BYTES_PER_CHARACTER = 12
"""Of JSON, at most: a character beyond 16 bits may be written as two escapes."""


class Body:
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


def declared_bytes(scope: Scope) -> int:
    """Bytes that a request says its body has; 0 where it does not say."""
    declared = Headers(scope=scope).get("content-length", "")
    return int(declared) if declared.isdecimal() else 0


def may_be_large(scope: Scope, limits: Limits) -> bool:
    """Whether a request may bring a control log that no message would hold."""
    is_opening = scope["type"] == "http" and (scope["method"], scope["path"]) == ("POST", "/v1/sessions")
    is_counted = "transfer-encoding" not in Headers(scope=scope)
    return is_opening and not (is_counted and declared_bytes(scope) <= limits.message_bytes)


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
