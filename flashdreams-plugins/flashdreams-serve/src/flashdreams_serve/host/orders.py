"""What a client asks of its session, as values. No torch here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from flashdreams.infra.runner.steering import Value
from flashdreams.io.writer import Frames

if TYPE_CHECKING:
    from flashdreams_serve.host.control_log import ControlLog

LONGEST_NAME = 64
"""Characters of a name that a client gives, or that it asks for."""


@dataclass(frozen=True, kw_only=True)
class Opening:
    """What a rollout begins with; what is left out is as the slug has it."""

    seed: int | None = None
    """None draws one, which the session then names."""
    prompt: str | None = None
    start: str | None = None
    """One of the starts that the model offers."""
    image: Frames | None = None
    """An image, uint8 ``[H, W, 3]``, already brought to the model's size."""
    log: Mapping[str, Any] | None = None
    """A control log: it is replayed first, opening included, and the client steers from its end on."""


@dataclass(frozen=True, kw_only=True)
class Control:
    """Controls that were set, already checked against the model's steering."""

    seq: int
    """Greater than those before it; one that is not is dropped as stale."""
    values: Mapping[str, Value]
    sent_at: float | None = None
    """When it was sent, on the client's own clock."""
    received_at: float = 0.0
    """When it came in, of ``time.monotonic()``."""


@dataclass(frozen=True)
class Pause:
    """Dream no further until told to."""


@dataclass(frozen=True)
class Resume:
    """Dream on."""


@dataclass(frozen=True)
class Reset:
    """Begin another rollout in the same slot.

    Answers ``{"seed": its seed}``, and ``differs`` where something does, as in the detail of its standing.
    """

    beginning: ControlLog
    """What it begins with, and the chunks that are made again first, as ``Host.beginning`` has read them."""


@dataclass(frozen=True)
class Keep:
    """Take a snapshot under a name."""

    name: str


@dataclass(frozen=True)
class Return:
    """Go back to a snapshot."""

    name: str


@dataclass(frozen=True)
class Fork:
    """Begin a second session that has seen the same chunks. Answers ``{"session": its id}``."""


@dataclass(frozen=True)
class Save:
    """Save the last seconds as MP4. Answers ``{"video": name, "seconds": how many, "bytes": size}``."""

    seconds: float


@dataclass(frozen=True)
class GiveLog:
    """The control log of the rollout. Answers ``{"log": the log}``."""


@dataclass(frozen=True)
class Close:
    """End the session."""


Order: TypeAlias = Pause | Resume | Reset | Keep | Return | Fork | Save | GiveLog | Close
"""Carried out between two chunks, by the thread that computes; each is answered by plain values."""
