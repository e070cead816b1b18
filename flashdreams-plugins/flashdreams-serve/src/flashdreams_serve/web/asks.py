"""From what a client asks to what the host carries out."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from typing import Any

from flashdreams.errors import InputError
from flashdreams_serve.host.control_log import ControlLog
from flashdreams_serve.host.errors import OrderRefusedError
from flashdreams_serve.host.orders import (
    Close,
    Fork,
    GiveLog,
    Keep,
    Opening,
    Order,
    Pause,
    Reset,
    Resume,
    Return,
    Save,
)
from flashdreams_serve.web.messages import (
    Ask,
    AskClose,
    AskFork,
    AskKeep,
    AskLog,
    AskPause,
    AskReset,
    AskResume,
    AskReturn,
    AskSave,
)
from flashdreams_serve.web.openings import opening_of, read_aside
from flashdreams_serve.web.problems import problem
from flashdreams_serve.web.services import Services

ORDER_SECONDS = 60.0
"""Within which an order is carried out; even a long chunk is over by then."""

_PLAIN: dict[type[Ask], Callable[[], Order]] = {
    AskPause: Pause,
    AskResume: Resume,
    AskFork: Fork,
    AskLog: GiveLog,
    AskClose: Close,
}


async def order_of(ask: Ask, services: Services, client: str) -> Order:
    """The order for what a client asks.

    Raises:
        ProblemError: A reset would begin with an image that there is not.
        OrderRefusedError: It would begin with what the model does not take.
    """
    match ask:
        case AskReset():
            return Reset(await _beginning(opening_of(ask, services, client), services))
        case AskKeep():
            return Keep(ask.name)
        case AskReturn():
            return Return(ask.name)
        case AskSave():
            return Save(ask.seconds)
        case _:
            return _PLAIN[type(ask)]()


async def _beginning(opening: Opening, services: Services) -> ControlLog:
    try:
        return await read_aside(services.host.beginning, opening, services)
    except InputError as error:
        raise OrderRefusedError("bad_opening", error.what, error.right, error.next) from error


async def answered(order: Future[Mapping[str, Any]]) -> Mapping[str, Any]:
    """The answer to an order, which is carried out even if nobody waits for it any more.

    Raises:
        ProblemError: It takes too long.
        FlashDreamsError: The host refuses it.
    """
    answer = asyncio.wrap_future(order)
    answer.add_done_callback(_hear)
    try:
        async with asyncio.timeout(ORDER_SECONDS):
            return await asyncio.shield(answer)
    except TimeoutError:
        raise problem(
            503,
            "too_slow",
            "It was not carried out in time.",
            f"It is carried out between two chunks, within {ORDER_SECONDS:g} s.",
            "Try again later.",
            retry_after="10",
        ) from None


def _hear(answer: asyncio.Future[Mapping[str, Any]]) -> None:
    """Take note of a refusal whose asker has left: asyncio complains of those that nobody hears."""
    if not answer.cancelled():
        answer.exception()
