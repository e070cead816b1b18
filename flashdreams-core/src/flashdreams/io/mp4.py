"""MP4 through PyAV: H.264 that plays in a browser, on disk while it is made.

The file is written in fragments of one second, each complete in itself, so that whatever ends the
process leaves a video that plays. A normal close turns it, in place, into an ordinary file with one
index, which players seek in at once (FFmpeg's ``hybrid_fragmented``: no second file and no copying).
"""

from __future__ import annotations

import struct
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

from flashdreams.io.pictures import PictureMaker, padded_to_even
from flashdreams.io.writer import Frames, VideoWriter, open_fresh, write_all

if TYPE_CHECKING:
    import av

MOVFLAGS = "frag_keyframe+empty_moov+default_base_moof+hybrid_fragmented"
ENCODER = {
    "preset": "veryfast",
    "crf": "18",
    "threads": "2",  # x264 makes other files with other numbers of threads
    "mbtree": "0",  # with it x264's AVX-512 code makes small videos that differ from run to run
}


class Mp4Writer(VideoWriter):
    """H.264 (libx264, yuv420p, BT.709), at constant quality.

    H.264 needs even sizes: an odd height or width repeats its last row or column once.
    """

    def __init__(self, path: Path, *, fps: float, height: int, width: int, overwrite: bool = False) -> None:
        super().__init__(path, fps=fps, height=height, width=width)
        import av

        self._file = _AppendedFile(path, overwrite)
        options = {"movflags": MOVFLAGS, "flush_packets": "1"}
        self._container = av.open(self._file, "w", format="mp4", options=options)
        self._stream = self._add_stream()
        self._pictures = PictureMaker()

    def _add_stream(self) -> av.VideoStream:
        rate = Fraction(self.fps).limit_denominator(1001)
        stream: av.VideoStream = self._container.add_stream("libx264", rate=rate, options=dict(ENCODER))
        stream.height, stream.width = _even(self.height), _even(self.width)
        stream.pix_fmt = "yuv420p"
        codec = stream.codec_context
        codec.gop_size = max(1, round(self.fps))
        codec.colorspace = codec.color_primaries = codec.color_trc = codec.color_range = 1  # BT.709, limited
        return stream

    def _write_frame(self, frame: Frames) -> None:
        picture = self._pictures.picture(padded_to_even(frame))
        picture.pts = self.frames
        self._container.mux(self._stream.encode(picture))
        self._file.raise_error()

    def _finish(self) -> None:
        if self.frames and self._file.error is None:
            self._container.mux(self._stream.encode(None))
        self._container.close()
        self._file.close()
        if self._file.error is not None:
            cut_to_whole_fragments(self.path)
            self.frames = count_frames(self.path)
        self._file.raise_error()


class _AppendedFile:
    """A file for FFmpeg that only grows until it is closed, and takes every write.

    What FFmpeg would overwrite (the beginning, once the index stands at the end) waits for
    :meth:`close`, so that the file is whole at any moment. After the first error that error is kept and
    the rest dropped: FFmpeg itself goes on after some errors, and crashes on others.
    """

    def __init__(self, path: Path, overwrite: bool) -> None:
        self._file = open_fresh(path, overwrite)
        self._position = 0
        self._end = 0
        self._overwrites: list[tuple[int, bytes]] = []
        self.error: OSError | None = None

    def write(self, data: bytes) -> int:
        behind = max(0, self._end - self._position)
        if behind:
            self._overwrites.append((self._position, data[:behind]))
        self._append(data[behind:])
        self._position += len(data)
        self._end = max(self._end, self._position)
        return len(data)

    def seek(self, offset: int, whence: int = 0) -> int:
        self._position = offset + (0, self._position, self._end)[whence]
        return self._position

    def tell(self) -> int:
        return self._position

    def close(self) -> None:
        with self._file:
            for position, data in self._overwrites if self.error is None else ():
                self._file.seek(position)
                self._append(data)

    def raise_error(self) -> None:
        if self.error is not None:
            raise self.error

    def _append(self, data: bytes) -> None:
        if self.error is None:
            try:
                write_all(self._file, data)
            except OSError as error:
                self.error = error


def count_frames(path: Path) -> int:
    """Frames that an MP4 holds, counted without decoding; 0 where it holds none."""
    import av

    try:
        with av.open(f"file:{path}") as container:
            return sum(packet.size > 0 for packet in container.demux(video=0))
    except (av.FFmpegError, IndexError):
        return 0


def cut_to_whole_fragments(path: Path) -> None:
    """Cut off the fragment, or the index, in which writing an MP4 broke off."""
    if not path.is_file():
        return
    with path.open("r+b") as file:
        size, position, whole = path.stat().st_size, 0, 0
        while position + 8 <= size:
            length, kind = struct.unpack(">I4s", file.read(8))
            if length == 1:  # a 64-bit length follows
                (length,) = struct.unpack(">Q", file.read(8).ljust(8, b"\0"))
            position += length
            if length < 8 or position > size:
                break
            if kind in (b"moov", b"mdat"):
                whole = position
            file.seek(position)
        file.truncate(whole)


def _even(size: int) -> int:
    return size + size % 2
