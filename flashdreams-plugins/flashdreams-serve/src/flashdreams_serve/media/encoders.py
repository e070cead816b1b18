"""Frames as bytes, one encoder for each connection that carries them in messages of its own.

Encoding is slow enough to keep it off the event loop: call it in a worker thread.
"""

from __future__ import annotations

import io
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from flashdreams.errors import FieldValueError, did_you_mean
from flashdreams_serve.media.live import X264

if TYPE_CHECKING:
    from flashdreams.io.writer import Frames

JPEG_QUALITY = 90
SMALL_PIXELS = 256 * 256
"""Frames of up to so many pixels keep all their colour in a JPEG: a page shows them enlarged."""
PNG_LEVEL = 1  # twice as fast as the default of 6, and a few per cent larger
KEY_SECONDS = 2.0
"""Time after which H.264 begins anew, for whoever lost a frame."""
_LIVE = {
    "preset": "ultrafast",
    "profile": "baseline",
    "level": "5.1",  # up to 4096 x 2304
    "maxrate": "12M",
    "bufsize": "12M",
}


@dataclass(frozen=True)
class Encoded:
    """One frame as bytes."""

    data: bytes
    key: bool
    """Whether it can be decoded alone."""


class FrameEncoder(ABC):
    """Turns the frames of one connection into bytes, one after the other, and keeps what that takes."""

    codec: str
    """Its name in the protocol."""

    @abstractmethod
    def encode(self, pixels: Frames) -> Encoded:
        """The next frame, uint8 ``[H, W, 3]`` of any size, as bytes."""

    def want_key(self) -> None:  # noqa: B027 -- an image is always one
        """Make the next frame one that can be decoded alone, as all are but in ``h264``."""


class JpegEncoder(FrameEncoder):
    """A JPEG for each frame; small ones with all their colour (4:4:4)."""

    codec = "jpeg"

    def encode(self, pixels: Frames) -> Encoded:
        """See :meth:`FrameEncoder.encode`."""
        small = pixels.shape[0] * pixels.shape[1] <= SMALL_PIXELS
        data = _with_pillow(pixels, "JPEG", quality=JPEG_QUALITY, subsampling="4:4:4" if small else "4:2:0")
        return Encoded(data, key=True)


class PngEncoder(FrameEncoder):
    """A PNG for each frame: exact."""

    codec = "png"

    def encode(self, pixels: Frames) -> Encoded:
        """See :meth:`FrameEncoder.encode`."""
        return Encoded(_with_pillow(pixels, "PNG", compress_level=PNG_LEVEL), key=True)


class RgbEncoder(FrameEncoder):
    """The bytes of ``[H, W, 3]`` themselves."""

    codec = "rgb"

    def encode(self, pixels: Frames) -> Encoded:
        """See :meth:`FrameEncoder.encode`."""
        return Encoded(pixels.tobytes(), key=True)


class H264Encoder(FrameEncoder):
    """H.264 as WebCodecs decodes it: Annex B, constrained baseline, no frame waits for a later one.

    Odd sizes repeat their last row or column once: whoever decodes cuts the picture to the header's size.
    A key frame, with the parameter sets in front of it, comes first, at least every two seconds, after
    :meth:`want_key`, and when the size changes.

    Args:
        clock: Tells the time in seconds.
    """

    codec = "h264"

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._stream = X264(**_LIVE)
        self._wants_key = True
        self._key_at = 0.0

    def encode(self, pixels: Frames) -> Encoded:
        """See :meth:`FrameEncoder.encode`."""
        now = self._clock()
        wants_key = self._wants_key or now - self._key_at >= KEY_SECONDS
        data, key = self._stream.encode(pixels, at=now, key=wants_key)
        if key:
            self._wants_key, self._key_at = False, now
        return Encoded(data, key)

    def want_key(self) -> None:
        """See :meth:`FrameEncoder.want_key`."""
        self._wants_key = True


ENCODERS: dict[str, type[FrameEncoder]] = {
    kind.codec: kind for kind in (JpegEncoder, PngEncoder, RgbEncoder, H264Encoder)
}
"""Every codec of the protocol, by its name."""


def encoder_for(codec: str) -> FrameEncoder:
    """A new encoder, for one connection.

    Raises:
        FieldValueError: There is no such codec.
    """
    if codec not in ENCODERS:
        raise FieldValueError(
            f"There is no codec {codec[:60]!r}.", did_you_mean(codec[:60], ENCODERS), "Ask for one of them."
        )
    return ENCODERS[codec]()


def _with_pillow(pixels: Frames, kind: str, **options: object) -> bytes:
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind, **options)
    return file.getvalue()
