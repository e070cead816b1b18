"""What a server says in a session, as values."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, get_args

from flashdreams.errors import NoServerError, ServerRefusedError

if TYPE_CHECKING:
    from flashdreams.io.writer import Frames

VERSION = 1
"""Of the protocol that this client speaks."""

Codec: TypeAlias = Literal["jpeg", "png", "rgb", "h264"]
"""How pixels travel. ``png`` and ``rgb`` lose nothing."""
CODECS: tuple[Codec, ...] = get_args(Codec)

STAGES = ("waited_ms", "made_ms", "held_ms", "encoded_ms")
"""Parts of the latency that the server measures, in the order in which they come."""


@dataclass(frozen=True)
class Frame:
    """A frame of a session, decoded."""

    pixels: Frames
    """uint8 ``[H, W, 3]``, not to be changed."""
    arrived_at: float
    """When it was decoded, of ``time.monotonic()``."""
    header: Mapping[str, Any]
    """All that the server says of it, as in the protocol."""
    number: int
    """In the session; it only grows, and a gap is what was dropped."""
    chunk: int
    """Index of its chunk in the rollout."""
    index: int
    """Which frame of its chunk, from 0."""
    epoch: int
    """Goes up when other controls are obeyed."""
    seq: int
    """The last control that it obeys; 0 where there was none."""
    sent_at: float | None
    """When that control was set, of ``time.monotonic()`` of whoever set it; None where there was none."""

    @property
    def latency(self) -> float | None:
        """Seconds from setting the control that it obeys to its pixels; None where it obeys none.

        Only the first frame that obeys a control says how long the control took.
        """
        return None if self.sent_at is None else self.arrived_at - self.sent_at

    @property
    def stages(self) -> dict[str, float]:
        """Milliseconds of each of :data:`STAGES`, of those that the server names."""
        return {name: float(self.header[name]) for name in STAGES if self.header.get(name) is not None}


@dataclass(frozen=True)
class Receipt:
    """Controls have taken effect."""

    seq: int
    """Those up to this one."""
    chunk: int
    """In the chunk of this index."""


@dataclass(frozen=True)
class Refusal:
    """A control that the server did not take."""

    seq: int
    error: ServerRefusedError


@dataclass(frozen=True)
class Standing:
    """How a session stands."""

    state: str
    """``queued``, ``opening``, ``live``, ``paused``, ``detached`` or ``ended``."""
    reason: str = ""
    """Why it ended."""
    position: int = 0
    """Sessions ahead of it in the queue, itself included; 0 where it does not wait."""
    detail: Mapping[str, Any] = field(default_factory=dict)
    """What else is said of it: ``video``, the name of one that was saved when it ended; ``differs``, what is
    other than where the control log comes from that it began with, one line each."""

    @classmethod
    def read(cls, tree: Mapping[str, Any]) -> Standing:
        """From what a server sends."""
        return cls(
            state=str(tree.get("state", "")),
            reason=str(tree.get("reason") or ""),
            position=int(tree.get("position") or 0),
            detail=tree.get("detail") or {},
        )


@dataclass(frozen=True)
class SavedVideo:
    """A video that a session has saved on its server."""

    name: str
    seconds: float
    bytes: int


def split_frame(message: bytes) -> tuple[dict[str, Any], bytes]:
    """The header and the encoded pixels of a binary message.

    Raises:
        NoServerError: It is no frame.
    """
    try:
        (length,) = struct.unpack_from(">I", message)
        header = json.loads(message[4 : 4 + length])
        return dict(header), message[4 + length :]
    except (struct.error, ValueError, TypeError) as error:
        raise foreign_answer(message[:40]) from error


def frame_of(header: Mapping[str, Any], pixels: Frames, arrived_at: float) -> Frame:
    """A frame from its header and its pixels.

    Raises:
        NoServerError: The header lacks what the protocol asks for.
    """
    try:
        return Frame(
            pixels=pixels,
            arrived_at=arrived_at,
            header=header,
            number=int(header["frame"]),
            chunk=int(header["chunk"]),
            index=int(header["index"]),
            epoch=int(header["epoch"]),
            seq=int(header["seq"]),
            sent_at=header.get("sent_at"),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise foreign_answer(header) from error


def refused(tree: Mapping[str, Any]) -> ServerRefusedError:
    """An error as a server says it; that of a missing token in the words of this client."""
    if tree.get("code") == "no_token":
        return wrong_token()
    what, right, next = (str(tree.get(part) or "") for part in ("what", "right", "next"))
    return ServerRefusedError(what, right, next, code=str(tree.get("code") or ""))


def wrong_token() -> ServerRefusedError:
    """The error of a client without the token."""
    return ServerRefusedError(
        "The server asks for a token, and was shown none or another.",
        "The token is the one that the server was started with.",
        "Give it to the client as token=..., or set FLASHDREAMS_TOKEN.",
        code="no_token",
    )


def foreign_answer(answer: object) -> NoServerError:
    """An answer that no server of FlashDreams gives."""
    shown = repr(answer)
    return NoServerError(
        f"The server answers {shown if len(shown) <= 80 else f'{shown[:77]}...'}.",
        f"A server of FlashDreams answers as version {VERSION} of its protocol says.",
        "Check the address, and that client and server are of the same version.",
        code="foreign_answer",
    )
