"""Makes a chunk that obeys what came in, or as much of it as the model takes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flashdreams.errors import ControlError, InputError
from flashdreams.infra.runner.steering import Value
from flashdreams_serve.host.dream import Dream
from flashdreams_serve.host.events import Refused
from flashdreams_serve.host.inbox import NOTHING_NEW, News, Taken
from flashdreams_serve.host.session import Session

if TYPE_CHECKING:
    from torch import Tensor


def values_of(news: News) -> dict[str, Value]:
    """All new values by name."""
    held, said = news
    return {**held.values, **said.values}


def make_obeying(session: Session, dream: Dream, news: News) -> tuple[News, Tensor]:
    """The next chunk of a session, pixels ``[B, 3, T, H, W]``, and what it obeys.

    Where the model does not take what came in, the session is told, and the chunk is made without: first
    without texts, then without all of it.

    Raises:
        InputError: The model takes nothing at all.
    """
    while True:
        try:
            return news, dream.make(dream.log.news(values_of(news)))
        except InputError as error:
            held, said = news
            if not said.values and not held.values:
                raise
            _refuse(session, said if said.values else held, error)
            news = (held, Taken()) if said.values else NOTHING_NEW


def _refuse(session: Session, refused: Taken, error: InputError) -> None:
    if isinstance(error, ControlError):
        texts = error.what, error.right, error.next
    else:
        texts = "The model does not take this control.", "It goes on without.", "Set it to something else."
    what, right, next = texts
    if refused.last is not None and refused.last.seq:
        session.audience.tell(
            Refused(seq=refused.last.seq, code="control_refused", what=what, right=right, next=next)
        )
