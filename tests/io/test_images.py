import os

import numpy as np
import pytest
import torch
from PIL import Image

from flashdreams.errors import ImageError
from flashdreams.io.images import read_image
from flashdreams.io.pixels import to_uint8


@pytest.fixture
def picture():
    return np.random.default_rng(0).integers(0, 256, (6, 10, 3), dtype=np.uint8)


def test_a_png_is_read_exactly(tmp_path, picture):
    Image.fromarray(picture).save(tmp_path / "p.png")
    pixels = read_image(tmp_path / "p.png")
    assert (pixels.shape, pixels.dtype) == ((1, 3, 1, 6, 10), torch.float32)
    assert pixels.min() >= -1
    assert pixels.max() <= 1
    assert (to_uint8(pixels)[0, 0] == picture).all()
    assert torch.equal(read_image(str(tmp_path / "p.png"), size=(6, 10)), pixels)


def test_other_modes_become_rgb(tmp_path, picture):
    Image.fromarray(picture[..., 0]).save(tmp_path / "grey.png")
    Image.fromarray(np.dstack([picture, picture[..., :1]])).save(tmp_path / "alpha.png")
    grey, alpha = (to_uint8(read_image(tmp_path / name))[0, 0] for name in ("grey.png", "alpha.png"))
    assert (grey == picture[..., :1]).all()
    assert (alpha == picture).all()


def test_a_camera_that_was_turned(tmp_path):
    picture = np.zeros((20, 40, 3), np.uint8)
    picture[:, :20] = 255
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees clockwise
    Image.fromarray(picture).save(tmp_path / "p.jpg", exif=exif, quality=95)
    pixels = read_image(tmp_path / "p.jpg")
    assert pixels.shape[-2:] == (40, 20)
    assert pixels[..., :15, :].mean() > 0.9
    assert pixels[..., 25:, :].mean() < -0.9


def test_the_first_frame_of_an_animation(tmp_path, picture):
    frames = [Image.new("RGB", (4, 4), colour) for colour in ("red", "blue")]
    frames[0].save(tmp_path / "p.gif", save_all=True, append_images=frames[1:])
    assert to_uint8(read_image(tmp_path / "p.gif"))[0, 0, 0, 0].tolist() == [255, 0, 0]


def test_resizing_covers_the_size_and_cuts_about_the_centre(tmp_path):
    picture = np.random.default_rng(0).integers(0, 256, (64, 128, 3), dtype=np.uint8)
    Image.fromarray(picture).save(tmp_path / "p.png")
    levels = to_uint8(read_image(tmp_path / "p.png", size=(16, 16)))[0, 0]
    covering = Image.fromarray(picture).resize((32, 16), Image.Resampling.LANCZOS)
    assert levels.shape == (16, 16, 3)
    assert np.abs(levels.astype(int) - np.asarray(covering)[:, 8:24]).max() <= 1


def test_no_image(tmp_path):
    (tmp_path / "notes.png").write_text("these are notes")
    with pytest.raises(ImageError) as caught:
        read_image(tmp_path / "notes.png")
    assert caught.value.what == f"{tmp_path}/notes.png is no image, or a damaged one."
    assert caught.value.right == "An image is a PNG or JPEG file, for instance."
    assert caught.value.next == "Open it in an image viewer, and save it as PNG."


def test_a_truncated_image(tmp_path, picture):
    Image.fromarray(picture.repeat(20, 0).repeat(20, 1)).save(tmp_path / "whole.png")
    (tmp_path / "half.png").write_bytes((tmp_path / "whole.png").read_bytes()[:300])
    with pytest.raises(ImageError, match="half.png is no image, or a damaged one"):
        read_image(tmp_path / "half.png")


def test_more_pixels_than_are_safe(tmp_path, picture, monkeypatch):
    Image.fromarray(picture).save(tmp_path / "p.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 20)
    with pytest.raises(ImageError) as caught:
        read_image(tmp_path / "p.png")
    assert caught.value.what == f"{tmp_path}/p.png has too many pixels to be safe to read."
    assert caught.value.next == "Make it smaller."


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_an_image_that_may_not_be_read(tmp_path, picture):
    Image.fromarray(picture).save(tmp_path / "p.png")
    (tmp_path / "p.png").chmod(0)
    with pytest.raises(ImageError, match="may not be read(.|\n)*Check its permissions"):
        read_image(tmp_path / "p.png")


def test_no_file(tmp_path):
    with pytest.raises(ImageError) as caught:
        read_image(tmp_path / "absent.png")
    assert caught.value.what == f"There is no file {tmp_path}/absent.png."
    assert caught.value.next == "Check its name."
    with pytest.raises(ImageError) as caught:
        read_image(tmp_path)
    assert (caught.value.what, caught.value.next) == (f"{tmp_path} is a folder.", "Name a file in it.")
