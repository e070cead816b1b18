"""Frames as FFmpeg takes them: even sizes, yuv420p in BT.709."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import av

    from flashdreams.io.writer import Frames


def padded_to_even(pixels: Frames) -> Frames:
    """A frame ``[H, W, 3]`` of even height and width: an odd one repeats its last row or column once."""
    import numpy as np

    height, width, _ = pixels.shape
    if height % 2 or width % 2:
        pixels = np.pad(pixels, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
    return pixels


class PictureMaker:
    """Makes pictures of the frames of one stream, and keeps what that takes."""

    def __init__(self) -> None:
        from av.video.reformatter import VideoReformatter

        self._reformatter = VideoReformatter()

    def picture(self, pixels: Frames) -> av.VideoFrame:
        """A frame of even size, uint8 ``[H, W, 3]``, as yuv420p in BT.709 with limited range."""
        import av
        import numpy as np
        from av.video.reformatter import ColorRange, Colorspace

        rgb = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")
        return self._reformatter.reformat(
            rgb, format="yuv420p", dst_colorspace=Colorspace.ITU709, dst_color_range=ColorRange.MPEG
        )
