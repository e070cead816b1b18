import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from flashdreams.errors import OutputError
from flashdreams.io.mp4 import Mp4Writer, count_frames
from flashdreams.io.video import open_video

HERE = Path(__file__).parent


def write(path, frames, fps=16.0):
    with open_video(path, fps=fps, height=frames.shape[1], width=frames.shape[2]) as writer:
        for chunk in np.array_split(frames, 5):
            writer.write(chunk)
    return writer


def test_frames_come_back_in_number_order_and_colour(tmp_path, moving_blocks, decode):
    frames = moving_blocks(40)
    writer = write(tmp_path / "v.mp4", frames)
    back = decode(tmp_path / "v.mp4")
    assert writer.frames == 40
    assert back.shape == frames.shape
    apart = np.abs(back.astype(int) - frames).mean(axis=(1, 2, 3))
    assert apart.max() < 16  # vivid blocks; chroma is stored at half resolution
    shifted = np.abs(back[1:].astype(int) - frames[:-1]).mean(axis=(1, 2, 3))
    assert (apart[1:] < shifted).all()


def test_flat_colours_are_exact_to_two_levels(tmp_path, decode):
    colours = np.array([[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 255], [0, 0, 0], [200, 100, 50]])
    stripes = colours.astype(np.uint8).repeat(16, axis=0)[None, None].repeat(64, axis=1).repeat(4, axis=0)
    write(tmp_path / "v.mp4", stripes)
    middles = decode(tmp_path / "v.mp4")[:, 32, 8::16]
    assert np.abs(middles.astype(int) - colours).max() <= 2


def test_a_closed_file_is_an_ordinary_seekable_h264_file_that_browsers_play(tmp_path, moving_blocks):
    write(tmp_path / "v.mp4", moving_blocks(50), fps=50 / 3)
    with av.open(str(tmp_path / "v.mp4")) as container:
        stream = container.streams.video[0]
        codec = stream.codec_context
        assert (codec.name, codec.pix_fmt) == ("h264", "yuv420p")
        assert (codec.colorspace, codec.color_primaries, codec.color_trc, codec.color_range) == (1, 1, 1, 1)
        assert stream.average_rate == Fraction(50, 3)
        assert stream.frames == 50  # the one index of an ordinary file; fragments have none
        assert stream.duration * stream.time_base == 3
        container.seek(int(2 / stream.time_base), stream=stream)
        assert next(container.decode(stream)).time >= 1.0  # a keyframe each second


@pytest.mark.parametrize(("height", "width"), [(7, 9), (8, 9), (7, 8), (1, 1)])
def test_odd_sizes_repeat_their_last_row_and_column(tmp_path, decode, height, width):
    frames = np.zeros((3, height, width, 3), np.uint8)
    frames[:, -1] = 255
    write(tmp_path / "v.mp4", frames)
    back = decode(tmp_path / "v.mp4")
    assert back.shape == (3, height + height % 2, width + width % 2, 3)
    assert (back[:, -1] > 240).all()


def test_the_same_frames_make_the_same_file(tmp_path, moving_blocks):
    for name in ("a.mp4", "b.mp4"):
        write(tmp_path / name, moving_blocks(30))
    assert (tmp_path / "a.mp4").read_bytes() == (tmp_path / "b.mp4").read_bytes()


def test_what_was_written_can_be_played_while_the_file_grows(tmp_path, moving_blocks, decode):
    frames = moving_blocks(120)
    with Mp4Writer(tmp_path / "v.mp4", fps=16, height=64, width=64) as writer:
        writer.write(frames)
        growing = decode(tmp_path / "v.mp4")
    assert 48 <= len(growing) < 120
    assert (decode(tmp_path / "v.mp4")[: len(growing)] == growing).all()


def test_a_full_disk_leaves_whole_fragments_wherever_it_happens(tmp_path):
    swept = subprocess.run(
        [sys.executable, HERE / "full_disk_sweep.py", tmp_path / "v.mp4"],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    rows = [tuple(map(int, line.split())) for line in swept.stdout.splitlines()]
    assert len(rows) > 40
    assert [counted for _, counted, _ in rows] == [decoded for _, _, decoded in rows]
    decoded = [frames for *_, frames in rows]
    assert decoded == sorted(decoded)
    assert (decoded[0], decoded[-1]) == (0, 100)
    assert len(set(decoded)) >= 5


def test_a_full_device_is_an_oserror_and_nothing_is_counted(tmp_path, moving_blocks):
    (tmp_path / "v.mp4").symlink_to("/dev/full")
    writer = Mp4Writer(tmp_path / "v.mp4", fps=16, height=64, width=64, overwrite=True)
    with pytest.raises(OSError, match="No space left on device"):
        writer.write(moving_blocks(100))
    with pytest.raises(OSError, match="No space left on device"):
        writer.close()
    assert writer.frames == 0
    writer.close()


def test_a_writer_takes_frames_of_its_size_only(tmp_path, moving_blocks):
    with Mp4Writer(tmp_path / "v.mp4", fps=16, height=64, width=64) as writer:
        writer.write(moving_blocks(2))
        for wrong in (moving_blocks(1, 32, 64), moving_blocks(1).astype(np.float32)):
            with pytest.raises(ValueError, match=r"Frames are uint8 \[T, 64, 64, 3\]"):
                writer.write(wrong)
    with pytest.raises(ValueError, match="was closed"):
        writer.write(moving_blocks(1))
    assert count_frames(tmp_path / "v.mp4") == 2


def test_an_existing_file_is_replaced_only_when_asked(tmp_path, moving_blocks):
    write(tmp_path / "v.mp4", moving_blocks(4))
    before = (tmp_path / "v.mp4").read_bytes()
    with pytest.raises(OutputError):
        open_video(tmp_path / "v.mp4", fps=16, height=64, width=64)
    with pytest.raises(FileExistsError):
        Mp4Writer(tmp_path / "v.mp4", fps=16, height=64, width=64)
    assert (tmp_path / "v.mp4").read_bytes() == before
    with open_video(tmp_path / "v.mp4", fps=16, height=64, width=64, overwrite=True) as writer:
        writer.write(moving_blocks(9))
    assert count_frames(tmp_path / "v.mp4") == 9


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_memory_does_not_grow_with_length(tmp_path):
    def resident():
        return int(Path("/proc/self/statm").read_text().split()[1]) * 4096

    second = np.random.default_rng(0).integers(0, 256, (16, 128, 128, 3), dtype=np.uint8)
    with Mp4Writer(tmp_path / "v.mp4", fps=16, height=128, width=128) as writer:
        for _ in range(10):
            writer.write(second)
        warm = resident()
        for _ in range(60):
            writer.write(second)
        grown = resident() - warm
    assert grown < 6 * 2**20  # the frames are 45 MiB, the file is 11
    assert (tmp_path / "v.mp4").stat().st_size > 8 * 2**20


def test_names_that_look_like_urls_are_files(tmp_path, moving_blocks):
    write(tmp_path / "http:x?.mp4", moving_blocks(4))
    assert count_frames(tmp_path / "http:x?.mp4") == 4
