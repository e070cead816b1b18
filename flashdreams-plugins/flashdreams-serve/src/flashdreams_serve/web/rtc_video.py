"""The video of one WebRTC connection: frames of a mailbox, encoded here, packed and sent by aiortc."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import av
from aiortc import MediaStreamTrack
from aiortc.mediastreams import MediaStreamError

from flashdreams.io.pictures import padded_to_even
from flashdreams.io.pixels import enlarge
from flashdreams.io.writer import Frames
from flashdreams_serve.media.live import CLOCK, X264, LiveVideo, Vp8
from flashdreams_serve.media.tag import tagged
from flashdreams_serve.web.mailbox import Mailbox, MailboxClosedError, TimedFrame
from flashdreams_serve.web.rtc_rate import LineRate

log = logging.getLogger(__name__)

KEY_SECONDS = 4.0
"""Time between key frames; browsers that lose a picture ask for one at once."""
KEYS_APART_SECONDS = 0.3
"""Time between two that are asked for: over a bad line, more of them would only make it worse."""
MOST_BITS = 8_000_000
"""A second, on the best of lines."""
RAISED_SECONDS = 4.0
"""Time between two bounds each of which is higher: with each of them the video begins anew."""
_LOWER, _HIGHER, _HIGHEST = 0.9, 1.2, 1.5
"""Shares of a bound from which another one is worth a new beginning, and up to which it is raised at once."""
_H264 = {
    "preset": "superfast",
    "profile": "baseline",
    "maxrate": str(MOST_BITS),
    "bufsize": str(MOST_BITS // 2),
}


@dataclass(frozen=True)
class SentPicture:
    """A frame as it travels."""

    height: int
    """Of the pixels, the tag included."""
    width: int
    key: bool
    """Whether it can be decoded alone."""
    bytes: int
    seconds: float
    """What the encoder took."""


class DreamTrack(MediaStreamTrack):
    """Gives aiortc the frames that are due, already encoded.

    aiortc's own encoders would hold the picture below bitrates that do not fit it, and begin anew whenever
    these change. So frames are encoded here, and aiortc packs what comes out.

    Args:
        mailbox: Where frames come from.
        scale: Each pixel becomes a square of ``scale`` x ``scale``.
        announce: Told of each frame just before it leaves.
    """

    kind = "video"

    def __init__(
        self, mailbox: Mailbox, *, scale: int, announce: Callable[[TimedFrame, SentPicture], None]
    ) -> None:
        super().__init__()
        self.codec = "h264"
        """What frames are encoded in, ``h264`` or ``vp8``; settled before the first one."""
        self.tag = False
        """Whether frames carry their number in a strip below."""
        self.broken = asyncio.Event()
        """Set when a frame could not be encoded, after which there are no more."""
        self.rate = LineRate(MOST_BITS)
        """What the line carries: the video is held below it."""
        self._held_at, self._held_below = 0.0, MOST_BITS
        self._mailbox = mailbox
        self._scale = scale
        self._announce = announce
        self._wants_key = True
        self._key_at = 0.0

    def want_key(self) -> None:
        """Make the next frame one that can be decoded alone."""
        self._wants_key = True

    def stop(self) -> None:
        """Give no more frames, and free the encoder now, not when Python next looks for cycles."""
        super().stop()
        self.__dict__.pop("_video", None)

    async def recv(self) -> av.Packet[Any]:
        """The next frame, once it is due.

        Raises:
            MediaStreamError: There are no more.
        """
        try:
            frame = await self._mailbox.next_frame()
            data, at, picture = await asyncio.to_thread(self._encoded, frame)
        except MailboxClosedError:
            raise MediaStreamError from None
        except Exception:
            log.exception("A frame could not be encoded for WebRTC")
            self.broken.set()
            raise MediaStreamError from None
        self._announce(frame, picture)
        self.rate.sent(picture.bytes)
        packet: av.Packet[Any] = av.Packet(data)
        packet.pts, packet.time_base = round(at / CLOCK), CLOCK
        return packet

    @cached_property
    def _video(self) -> LiveVideo:
        return X264(**_H264) if self.codec == "h264" else Vp8()

    def _encoded(self, frame: TimedFrame) -> tuple[bytes, float, SentPicture]:
        """A frame's bytes, and its time. In a thread of its own; there is one frame at a time."""
        began = time.monotonic()
        pixels = self._pixels(frame)
        self._hold_below(self.rate.bound, began)
        data, key = self._video.encode(pixels, at=began, key=self._take_wish(began - self._key_at))
        if key:
            self._key_at = began
        height, width = pixels.shape[:2]
        seconds = time.monotonic() - began
        return data, began, SentPicture(height, width, key, len(data), seconds)

    def _hold_below(self, bits: int, now: float) -> None:
        """Keep within what the line carries, where that has changed by much."""
        since = now - self._held_at
        rises = bits > _HIGHER * self._held_below and since > RAISED_SECONDS
        if rises or (bits < _LOWER * self._held_below and since > KEYS_APART_SECONDS):
            log.debug("Video is held below %d bit/s", bits)
            self._held_at, self._held_below = now, min(bits, round(_HIGHEST * self._held_below))
            self._video.hold_below(self._held_below)

    def _take_wish(self, since_key: float) -> bool:
        """Whether the next frame must be a key frame, ``since_key`` seconds after the last one."""
        is_wanted = self._wants_key and since_key >= KEYS_APART_SECONDS
        if is_wanted:
            self._wants_key = False
        return is_wanted or since_key >= KEY_SECONDS

    def _pixels(self, frame: TimedFrame) -> Frames:
        """The pixels as they travel: even sizes first, so that the strip stays at the bottom."""
        pixels = padded_to_even(enlarge(frame.pixels, self._scale))
        return tagged(pixels, frame.number) if self.tag else pixels
