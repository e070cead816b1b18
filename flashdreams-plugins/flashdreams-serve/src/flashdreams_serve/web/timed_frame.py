"""A frame on its way to a client, and the header that tells of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from flashdreams.io.writer import Frames
from flashdreams_serve.host.events import ShownChunk


@dataclass(frozen=True, kw_only=True)
class TimedFrame:
    """A frame that is due now, and what is known of it. Times are of ``time.monotonic()``, in seconds."""

    chunk: ShownChunk
    index: int
    """Which frame of its chunk it is."""
    pixels: Frames
    """uint8 ``[H, W, 3]``, not to be changed."""
    number: int
    """Its number in the session."""
    taken_at: float
    """When it left the mailbox."""
    waited_s: float
    """From the arrival of the control that it obeys to the beginning of the first chunk that obeys it."""
    dropped: int
    """Frames that were left out so far because the client was slow."""
    stale: int
    """Frames that were left out so far because they were out of date."""

    def header(self, *, key: bool, height: int, width: int, encoded_s: float | None = None) -> dict[str, Any]:
        """The header of the protocol, as plain values.

        Args:
            key: Whether it can be decoded alone.
            height: Of the pixels as they travel, the tag included.
            width: The same.
            encoded_s: What the encoder took, in seconds; None where the transport encodes by itself.
        """
        chunk = self.chunk
        header: dict[str, Any] = {
            "frame": self.number,
            "chunk": chunk.chunk,
            "index": self.index,
            "frames": len(chunk.frames),
            "epoch": chunk.epoch,
            "seq": chunk.seq,
            "sent_at": chunk.sent_at,
            "waited_ms": _ms(self.waited_s),
            "made_ms": _ms(chunk.made_at - chunk.began_at),
            "held_ms": _ms(self.taken_at - chunk.made_at),
            "key": key,
            "height": height,
            "width": width,
            "dropped": self.dropped,
            "stale": self.stale,
        }
        return header if encoded_s is None else header | {"encoded_ms": _ms(encoded_s)}


def _ms(seconds: float) -> float:
    return round(max(0.0, seconds) * 1000, 2)
