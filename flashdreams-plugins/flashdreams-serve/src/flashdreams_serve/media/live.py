"""Video without delay: each frame comes out as it goes in, and none waits for a later one."""

from __future__ import annotations

from abc import ABC, abstractmethod
from fractions import Fraction
from typing import TYPE_CHECKING, Literal

from flashdreams.io.pictures import PictureMaker, padded_to_even

if TYPE_CHECKING:
    import av

    from flashdreams.io.writer import Frames

CLOCK = Fraction(1, 90_000)
"""Seconds of one tick of the time stamps."""
_KEYS_ARE_ASKED_FOR = 1 << 20  # frames between two key frames
_X264 = {"tune": "zerolatency", "crf": "20", "threads": "1", "forced-idr": "1", "sc_threshold": "0"}
_BUFFERED = 0.25  # seconds of the bound that one frame may take, and those after it make up for
_VP8 = {"deadline": "realtime", "cpu-used": "8", "lag-in-frames": "0", "overshoot-pct": "15"}
_VP8_BITS_PER_PIXEL = 12  # a second: 1.8 Mbit/s at 384 x 384, 4.8 at 832 x 480


class LiveVideo(ABC):
    """One stream of yuv420p in BT.709, of one size at a time."""

    def __init__(self) -> None:
        self._pictures = PictureMaker()
        self._context: av.VideoCodecContext | None = None
        self._bound: int | None = None

    def encode(self, pixels: Frames, *, at: float, key: bool) -> tuple[bytes, bool]:
        """The next frame.

        Args:
            pixels: uint8 ``[H, W, 3]``; an odd size repeats its last row or column once.
            at: Its time in seconds, later than that of the frame before it.
            key: Whether it must be one that can be decoded alone, as the first one of a size always is.

        Returns:
            Its bytes, and whether it can be decoded alone.
        """
        from av.video.frame import PictureType

        picture = self._pictures.picture(padded_to_even(pixels))
        context = self._context_for(picture.height, picture.width)
        if key:
            picture.pict_type = PictureType.I
        picture.pts, picture.time_base = round(at / CLOCK), CLOCK
        packets = context.encode(picture)
        return b"".join(bytes(packet) for packet in packets), any(packet.is_keyframe for packet in packets)

    def hold_below(self, bits: int) -> None:
        """Take at most so many bits a second from the next frame on, which can be decoded alone."""
        self._bound, self._context = bits, None

    def _context_for(self, height: int, width: int) -> av.VideoCodecContext:
        context = self._context
        if context is None or (context.height, context.width) != (height, width):
            context = self._context = self._open(height, width)
        return context

    @abstractmethod
    def _open(self, height: int, width: int) -> av.VideoCodecContext: ...


class X264(LiveVideo):
    """H.264 as Annex B access units, the parameter sets in front of each key frame.

    Args:
        options: Options of libx264 beside those above.
    """

    def __init__(self, **options: str) -> None:
        super().__init__()
        self._options = options

    def _open(self, height: int, width: int) -> av.VideoCodecContext:
        context = _created("libx264", height, width)
        # BT.709, limited range:
        context.colorspace = context.color_primaries = context.color_trc = context.color_range = 1
        context.max_b_frames = 0
        context.options = {**_X264, **self._options, **self._held}
        return context

    @property
    def _held(self) -> dict[str, str]:
        """The quality stays as it is, as far as the bound lets it."""
        bits = self._bound
        return {} if bits is None else {"maxrate": str(bits), "bufsize": str(round(_BUFFERED * bits))}


class Vp8(LiveVideo):
    """VP8, for whoever cannot decode H.264; its bitrate grows with the size."""

    def _open(self, height: int, width: int) -> av.VideoCodecContext:
        context = _created("libvpx", height, width)
        context.thread_count = 1
        wanted = _VP8_BITS_PER_PIXEL * height * width
        bound = wanted if self._bound is None else min(wanted, self._bound)
        context.bit_rate, context.qmin = bound, 4
        context.qmax = 50 if bound == wanted else 63  # rather coarse than late
        context.options = dict(_VP8)
        return context


def _created(encoder: Literal["libx264", "libvpx"], height: int, width: int) -> av.VideoCodecContext:
    import av

    context = av.VideoCodecContext.create(encoder, "w")
    context.height, context.width, context.pix_fmt = height, width, "yuv420p"
    context.time_base, context.framerate = CLOCK, Fraction(30)
    context.gop_size = _KEYS_ARE_ASKED_FOR
    return context
