import numpy as np
import pytest
from PIL import Image, ImageSequence

from flashdreams.io.gif import GifWriter
from flashdreams.io.video import open_video


def gif_frames(path):
    with Image.open(path) as image:
        return [
            (np.asarray(frame.convert("RGB")), frame.info["duration"])
            for frame in ImageSequence.Iterator(image)
        ]


def test_gif_frames_come_back_exactly_where_they_have_few_colours(tmp_path, moving_blocks):
    frames = moving_blocks(10, 24, 40)
    with open_video(tmp_path / "v.gif", fps=10, height=24, width=40) as writer:
        writer.write(frames[:4])
        writer.write(frames[4:])
    back = gif_frames(tmp_path / "v.gif")
    assert (np.stack([frame for frame, _ in back]) == frames).all()
    assert {duration for _, duration in back} == {100}
    with Image.open(tmp_path / "v.gif") as image:
        assert image.info["loop"] == 0


@pytest.mark.parametrize("colours", [1, 2, 3, 200])
def test_gif_palettes_of_any_size(tmp_path, colours):
    frame = np.arange(16 * 16, dtype=np.uint8).reshape(1, 16, 16, 1).repeat(3, axis=3) % colours
    with open_video(tmp_path / "v.gif", fps=10, height=16, width=16) as writer:
        writer.write(frame)
    assert (gif_frames(tmp_path / "v.gif")[0][0] == frame[0]).all()


@pytest.mark.parametrize(("fps", "seconds"), [(16.0, 3.0), (50 / 3, 2.88), (30.0, 1.6), (7.0, 6.86)])
def test_gif_delays_add_up(tmp_path, fps, seconds):
    with open_video(tmp_path / "v.gif", fps=fps, height=4, width=4) as writer:
        writer.write(np.random.default_rng(0).integers(0, 256, (48, 4, 4, 3), dtype=np.uint8))
    assert sum(duration for _, duration in gif_frames(tmp_path / "v.gif")) / 1000 == pytest.approx(seconds)


def test_gif_frames_are_on_disk_at_once(tmp_path, moving_blocks):
    writer = open_video(tmp_path / "v.gif", fps=10, height=64, width=64)
    writer.write(moving_blocks(6))
    assert len(gif_frames(tmp_path / "v.gif")) == 6  # as a kill would leave it
    writer.close()
    assert (tmp_path / "v.gif").read_bytes()[-1:] == b";"


def test_gif_on_a_full_device(tmp_path):
    (tmp_path / "v.gif").symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space left on device"):
        GifWriter(tmp_path / "v.gif", fps=10, height=4, width=4, overwrite=True)


def test_png_frames_are_exact_and_numbered(tmp_path, moving_blocks):
    frames = moving_blocks(5, 7, 9)
    with open_video(tmp_path / "deep/frames", fps=16, height=7, width=9) as writer:
        writer.write(frames[:2])
        assert len(list((tmp_path / "deep/frames").iterdir())) == 2
        writer.write(frames[2:])
    files = sorted((tmp_path / "deep/frames").iterdir())
    assert [file.name for file in files] == [f"frame-{index:06d}.png" for index in range(5)]
    assert (np.stack([np.asarray(Image.open(file)) for file in files]) == frames).all()


def test_png_overwriting_replaces_frames_and_nothing_else(tmp_path, moving_blocks):
    for count in (5, 2):
        with open_video(tmp_path / "frames", fps=16, height=8, width=8, overwrite=True) as writer:
            writer.write(moving_blocks(count, 8, 8))
        (tmp_path / "frames/notes.txt").write_text("mine")
    assert sorted(file.name for file in (tmp_path / "frames").iterdir()) == [
        "frame-000000.png",
        "frame-000001.png",
        "notes.txt",
    ]
