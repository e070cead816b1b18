"""What the host says to whoever watches a session. No torch here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeAlias

from flashdreams.io.writer import Frames

State: TypeAlias = Literal["queued", "opening", "live", "paused", "detached", "ended"]
"""Waiting for a slot; its rollout begins; dreams; paused by its client; without a client, within the grace
period; over."""


@dataclass(frozen=True, kw_only=True)
class ShownChunk:
    """The frames of one chunk, and what they obey. Times are of ``time.monotonic()``, in seconds."""

    chunk: int
    """Its index in the rollout, from 0 again after a reset."""
    frames: Frames
    """uint8 ``[T, H, W, 3]`` as the model made them, not to be changed."""
    first_frame: int
    """Number of its first frame in the session; it only grows."""
    fps: float
    """Frames a second at which they are shown."""
    epoch: int
    """Goes up with each chunk that obeys other controls than the one before it, and with each reset: frames
    of an earlier epoch that nobody has seen are stale when frames of a later one are there."""
    seq: int
    """Number of the last control that it obeys; 0 for none."""
    sent_at: float | None
    """The time stamp that this control carried, on the client's own clock."""
    received_at: float | None
    """When this control came in."""
    due_at: float
    """When it should have been begun."""
    began_at: float
    made_at: float
    """When its pixels were on the host."""
    path: str
    """How it was computed: "eager", "graph", ..."""


@dataclass(frozen=True, kw_only=True)
class Receipt:
    """A control has taken effect."""

    seq: int
    """Its number, and that of all before it."""
    chunk: int
    """Index of the chunk that obeys it first."""


@dataclass(frozen=True, kw_only=True)
class Refused:
    """A control that the model did not take: it goes on without."""

    seq: int
    code: str
    what: str
    right: str
    next: str


@dataclass(frozen=True, kw_only=True)
class Standing:
    """How a session stands: said when that changes, and first of all to whoever attaches."""

    state: State
    reason: str = ""
    """Why it ended: "closed", "idle", "left", "drained", "failed", "finished", "no_memory"."""
    position: int = 0
    """Sessions ahead of it in the queue, itself included; 0 where it does not wait."""
    detail: dict[str, Any] | None = None
    """What else is said of it, as plain values: ``video``, the name of one that was saved when it ended;
    ``differs``, what is other than where the control log comes from that its rollout began with."""


Event: TypeAlias = Receipt | Refused | Standing


class Outlet(Protocol):
    """Whoever watches a session. Called by the thread that computes: returns at once and never raises."""

    def show(self, chunk: ShownChunk) -> None:
        """A chunk was made."""

    def drop(self, before_epoch: int) -> None:
        """Frames of epochs before this one are stale: nobody should see them any more."""

    def tell(self, event: Event) -> None:
        """Something happened to the session."""
