"""From what a client says a rollout should begin with to what the host opens."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

from flashdreams.io.writer import Frames
from flashdreams_serve.host.orders import Opening
from flashdreams_serve.web.messages import Beginning
from flashdreams_serve.web.problems import problem
from flashdreams_serve.web.services import Services

Read = TypeVar("Read")


def opening_of(beginning: Beginning, services: Services, client: str) -> Opening:
    """What a rollout begins with; whether the model takes it, the host says.

    Raises:
        ProblemError: There is no such image.
    """
    return Opening(
        seed=beginning.seed,
        prompt=beginning.prompt,
        start=beginning.start,
        image=_image(beginning.image, services, client),
        log=beginning.log,
    )


async def read_aside(read: Callable[[Opening], Read], opening: Opening, services: Services) -> Read:
    """What the host makes of an opening, in a thread of its own; of control logs it reads one at a time.

    Args:
        read: What the host does with it.
        opening: What somebody wants to begin with.
        services: What the endpoints share.
    """
    if opening.log is None:
        return await asyncio.to_thread(read, opening)
    await services.reading.acquire()
    reading = asyncio.ensure_future(asyncio.to_thread(read, opening))
    reading.add_done_callback(partial(_next_may_read, services))
    return await asyncio.shield(reading)  # whoever has gone: nobody else begins while it is being read


def _next_may_read(services: Services, reading: asyncio.Future[Any]) -> None:
    services.reading.release()
    if not reading.cancelled():
        reading.exception()  # was looked at, though nobody may be left who waits for it


def check_words(name: str, words: object, services: Services) -> None:
    """Refuse words that are longer than anybody may send; what are no words passes.

    Raises:
        ProblemError: They are.
    """
    longest = services.settings.limits.prompt_characters
    if isinstance(words, str) and len(words) > longest:
        raise problem(
            409,
            "too_many_words",
            f"{name} has {len(words)} characters.",
            f"It has at most {longest}.",
            "Say it in fewer words.",
        )


def _image(name: str | None, services: Services, client: str) -> Frames | None:
    if name is None:
        return None
    image = services.images.find(name, client)
    if image is None:
        raise problem(
            404,
            "no_such_image",
            "There is no image of this name.",
            "An image is kept for a few minutes after POST /v1/images, for the client that sent it.",
            "Send it again.",
        )
    return image
