"""The last seconds of a video, encoded, in memory; and a file made of them without encoding again."""

from __future__ import annotations

import io
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from flashdreams.io.pixels import enlarge
from flashdreams_serve.media.live import CLOCK, X264

if TYPE_CHECKING:
    import av
    from av.stream import Stream

    from flashdreams.io.writer import Frames

FRAGMENT_SECONDS = 1.0
"""Video kept between two key frames: as much more than asked for may be kept, or saved."""
MOST_BYTES = 64 * 1024 * 1024
"""Encoded bytes of one session that are kept, however short a time they last."""
_PRESET = "superfast"
_INDEX_BYTES, _INDEX_BYTES_PER_FRAME = 4096, 40  # more than the index of an MP4 takes


@dataclass(frozen=True)
class Picture:
    """One encoded frame."""

    data: bytes
    key: bool
    number: int
    """Of the frame in its session; what lies between two numbers was left out."""


@dataclass
class Fragment:
    """Pictures from a key frame to the next one."""

    pictures: list[Picture] = field(default_factory=list)
    bytes: int = 0

    @property
    def first(self) -> int:
        """The number of its first frame."""
        return self.pictures[0].number


@dataclass(frozen=True)
class Kept:
    """Pictures that follow each other, the first one a key frame."""

    pictures: Sequence[Picture]
    fps: float
    height: int
    width: int

    @property
    def seconds(self) -> float:
        """How long they last, the last one included."""
        return (self.pictures[-1].number + 1 - self.pictures[0].number) / self.fps


class Fragments:
    """Encodes frames and keeps the last seconds of them. Used by one thread.

    Args:
        keep_seconds: How much is kept at least, once there is as much.
        scale: Each pixel becomes a square of ``scale`` x ``scale``.
        most_bytes: Encoded bytes that are kept at most, one fragment aside.
    """

    def __init__(self, keep_seconds: float, scale: int, most_bytes: int = MOST_BYTES) -> None:
        self._keep_seconds = keep_seconds
        self._scale = scale
        self._most_bytes = most_bytes
        self._stream = X264(preset=_PRESET)
        self._kept: deque[Fragment] = deque()
        self._bytes = 0
        self._format = (0.0, 0, 0)

    def add(self, frame: Frames, number: int, fps: float) -> None:
        """Encode and keep a frame, uint8 ``[H, W, 3]``; one of another size or rate begins anew."""
        frame = enlarge(frame, self._scale)
        if self._format != (format := (fps, *frame.shape[:2])):
            self.clear()
            self._format = format
        key = not self._kept or self._is_over(self._kept[-1], number)
        data, _ = self._stream.encode(frame, at=number / fps, key=key)
        if key:
            self._kept.append(Fragment())
        self._kept[-1].pictures.append(Picture(data, key, number))
        self._kept[-1].bytes += len(data)
        self._bytes += len(data)
        self._forget(number)

    def last(self, seconds: float) -> Kept | None:
        """The last ``seconds``, from the key frame before them on; None where nothing is kept."""
        if not self._kept:
            return None
        fps, height, width = self._format
        begin = self._kept[-1].pictures[-1].number + 1 - seconds * fps
        firsts = [fragment.first for fragment in self._kept if fragment.first <= begin]
        first = firsts[-1] if firsts else self._kept[0].first
        pictures = [picture for part in self._kept if part.first >= first for picture in part.pictures]
        return Kept(pictures, fps, height + height % 2, width + width % 2)

    def clear(self) -> None:
        """Forget everything, and begin anew."""
        self._kept.clear()
        self._bytes = 0
        self._stream = X264(preset=_PRESET)

    def _is_over(self, fragment: Fragment, number: int) -> bool:
        fps = self._format[0]
        return number - fragment.first >= FRAGMENT_SECONDS * fps or fragment.bytes > self._most_bytes / 4

    def _forget(self, number: int) -> None:
        """Let go of fragments that lie before what is kept."""
        oldest = number + 1 - self._keep_seconds * self._format[0]
        while len(self._kept) > 1 and (self._kept[1].first <= oldest or self._bytes > self._most_bytes):
            self._bytes -= self._kept.popleft().bytes


def mp4_of(kept: Kept) -> bytes:
    """An MP4 that plays in browsers: its index comes first, and its time begins at 0.

    A frame lasts until the next one, so what was left out is no jump.
    """
    import av

    file = io.BytesIO()
    room = _INDEX_BYTES + _INDEX_BYTES_PER_FRAME * len(kept.pictures)
    with av.open(file, "w", format="mp4", options={"moov_size": str(room)}) as container:
        stream = container.add_mux_stream(
            "h264", width=kept.width, height=kept.height, pix_fmt="yuv420p", time_base=CLOCK
        )
        numbers = [picture.number - kept.pictures[0].number for picture in kept.pictures]
        times = [round(number / kept.fps / CLOCK) for number in (*numbers, numbers[-1] + 1)]
        for picture, time, end in zip(kept.pictures, times, times[1:], strict=False):
            container.mux(_packet(picture, stream, time, end))
    return file.getvalue()


def _packet(picture: Picture, stream: Stream, time: int, end: int) -> av.Packet[Any]:
    import av

    packet = av.Packet(picture.data)
    packet.stream, packet.time_base = stream, CLOCK
    packet.pts = packet.dts = time
    packet.duration = end - time
    packet.is_keyframe = picture.key
    return packet
