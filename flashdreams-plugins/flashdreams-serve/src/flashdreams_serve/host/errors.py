"""What the host refuses. Every text here may be shown to clients."""

from __future__ import annotations

from typing import ClassVar

from flashdreams.errors import FlashDreamsError, InputError


class HostError(FlashDreamsError):
    """Something that the host does not do now."""

    code: str = "refused"
    """A word for programs."""


class NotReadyError(HostError):
    """No session can begin: the model could not be loaded, or fails again and again."""

    code = "not_ready"


class DrainingError(HostError):
    """The server is about to end, and begins no more sessions."""

    code = "draining"


class QueueFullError(HostError):
    """As many sessions wait as may wait."""

    code = "queue_full"


class TooManySessionsError(HostError):
    """One client has as many sessions as it may have."""

    code = "too_many_sessions"


class OpeningError(InputError):
    """A rollout cannot begin with what was asked for."""

    code: ClassVar[str] = "bad_opening"


class OrderRefusedError(HostError):
    """An order that cannot be carried out.

    Args:
        code: Why, as a word for programs.
        what: What is wrong.
        right: What would have been right.
        next: What to do next.
    """

    def __init__(self, code: str, what: str, right: str, next: str) -> None:
        super().__init__(what, right, next)
        self.code = code


def as_refusal(error: HostError) -> OrderRefusedError:
    """Whatever the host refuses while it carries out an order, as the refusal of that order."""
    if isinstance(error, OrderRefusedError):
        return error
    return OrderRefusedError(error.code, error.what, error.right, error.next)


def draining() -> DrainingError:
    """The refusal of whoever comes while sessions are ended."""
    return DrainingError(
        "The server is about to end.", "It begins no more sessions.", "Try again in a while."
    )


def session_ended() -> OrderRefusedError:
    """The refusal of whatever is asked of a session that is over."""
    return OrderRefusedError(
        "session_ended",
        "The session has ended.",
        "Only a living session takes orders.",
        "Open another session.",
    )


def not_begun() -> OrderRefusedError:
    """The refusal of whatever needs a rollout, where there is none yet."""
    return OrderRefusedError(
        "not_begun",
        "The session has not begun: it waits for its turn, or its rollout is being made ready.",
        "Until then it can only be closed.",
        "Ask again once it is live.",
    )


def too_many_orders(count: int) -> OrderRefusedError:
    """The refusal of an order where so many wait."""
    return OrderRefusedError(
        "too_many_orders",
        f"{count} orders of this session wait.",
        "They are carried out between two chunks.",
        "Wait for their answers.",
    )
