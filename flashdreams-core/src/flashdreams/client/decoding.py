"""Pixels from what a server sends."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol, cast

from flashdreams.client.messages import foreign_answer

if TYPE_CHECKING:
    import av

    from flashdreams.io.writer import Frames


class Decoder(Protocol):
    """Decodes the frames of one connection, one after another."""

    def decode(self, data: bytes, header: Mapping[str, Any]) -> Frames | None:
        """The pixels, uint8 ``[H, W, 3]``; None where they cannot be known yet.

        Raises:
            NoServerError: The data are none of the codec.
        """


def decoder_for(codec: str) -> Decoder:
    """A decoder of ``jpeg``, ``png``, ``rgb`` or ``h264``.

    Raises:
        NoServerError: The codec is none of these.
    """
    if codec in ("jpeg", "png"):
        return _Pictures()
    if codec == "rgb":
        return _Raw()
    if codec == "h264":
        return _H264()
    raise foreign_answer(codec)


class _Pictures:
    """Each frame a picture of its own."""

    def decode(self, data: bytes, header: Mapping[str, Any]) -> Frames:
        import numpy as np
        from PIL import Image

        try:
            with Image.open(io.BytesIO(data), formats=("JPEG", "PNG")) as picture:
                return np.asarray(picture.convert("RGB"))
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
            raise foreign_answer(data[:16]) from error


class _Raw:
    """The bytes of the pixels."""

    def decode(self, data: bytes, header: Mapping[str, Any]) -> Frames:
        import numpy as np

        try:
            return np.frombuffer(data, np.uint8).reshape(int(header["height"]), int(header["width"]), 3)
        except (KeyError, ValueError, TypeError) as error:
            raise foreign_answer(header) from error


class _H264:
    """A stream: what comes before its first key frame, or after a gap, waits for a key frame."""

    def __init__(self) -> None:
        self._context: av.VideoCodecContext | None = None

    def decode(self, data: bytes, header: Mapping[str, Any]) -> Frames | None:
        import av

        if self._context is None:
            if not header.get("key"):
                return None
            self._context = _h264_context()
        try:
            pictures = self._context.decode(av.Packet(data))
        except av.FFmpegError:
            self._context = None
            return None
        if not pictures:
            return None
        pixels: Any = pictures[-1].to_ndarray(format="rgb24")
        return cast("Frames", pixels[: int(header["height"]), : int(header["width"])])


def _h264_context() -> av.VideoCodecContext:
    """A decoder that gives a frame for each packet at once, as long as they come in order."""
    import av

    context: Any = av.CodecContext.create("h264", "r")
    context.thread_count = 1
    context.flags |= av.codec.context.Flags.low_delay
    return context  # type: ignore[no-any-return]
