import io
import os
import zlib

import numpy as np
import pytest
import torch
from PIL import Image

from flashdreams.errors import ImageError
from flashdreams.io.images import as_pixels, decode_image, read_image
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


def sent(image, kind="PNG", **how):
    buffer = io.BytesIO()
    image.save(buffer, kind, **how)
    return buffer.getvalue()


def decoded(data, size=(6, 10), most_pixels=10_000):
    return decode_image(data, size=size, most_pixels=most_pixels)


def refused(data, **limits):
    with pytest.raises(ImageError) as caught:
        decoded(data, **limits)
    return caught.value


def test_images_that_are_sent(picture):
    frame = decoded(sent(Image.fromarray(picture)))
    assert (frame.dtype, frame.shape) == (np.uint8, (6, 10, 3))
    assert (frame == picture).all()
    assert (decoded(sent(Image.fromarray(picture), "WEBP", lossless=True)) == picture).all()
    grey = Image.new("RGB", (10, 6), (40, 90, 200))
    assert np.abs(decoded(sent(grey, "JPEG", quality=95)).astype(int) - np.array(grey)).max() <= 3
    assert decoded(sent(Image.fromarray(picture)), size=(64, 32)).shape == (64, 32, 3)
    assert (to_uint8(as_pixels(frame))[0, 0] == picture).all()


def test_other_modes_that_are_sent(picture):
    colours = Image.fromarray(picture).quantize(8)
    colours.info["transparency"] = 0
    assert (decoded(sent(colours)) == np.array(colours.convert("RGB"))).all()
    alpha = Image.fromarray(np.dstack([picture, picture[..., :1]]))
    assert (decoded(sent(alpha)) == picture).all()
    assert (decoded(sent(Image.fromarray(picture[..., 0]))) == picture[..., :1]).all()


def test_a_sent_image_is_turned_as_its_camera_says(tmp_path):
    picture = np.zeros((20, 40, 3), np.uint8)
    picture[:, :20] = 255
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(picture).save(tmp_path / "p.jpg", exif=exif, quality=95)
    frame = decoded((tmp_path / "p.jpg").read_bytes(), size=(40, 20))
    assert (frame == to_uint8(read_image(tmp_path / "p.jpg"))[0, 0]).all()


def test_a_bomb_is_refused_before_it_is_decoded():
    """One beyond Pillow's own limit, with next to nothing behind its header, and one within it."""
    bomb = bytearray(sent(Image.new("RGB", (1, 1))))
    bomb[16:24] = (30_000).to_bytes(4, "big") * 2
    bomb[29:33] = zlib.crc32(bomb[12:29]).to_bytes(4, "big")
    for data in (bytes(bomb), sent(Image.new("RGB", (101, 100)))):
        error = refused(data)
        assert error.what == "The image has too many pixels."
        assert error.right == "It may have 10,000."
    assert decoded(sent(Image.new("RGB", (100, 100)))).shape == (6, 10, 3)


def test_more_scans_than_a_picture_needs(picture):
    data = sent(Image.fromarray(picture), "JPEG", progressive=True)
    assert decoded(data).shape == (6, 10, 3)
    scan = data.index(b"\xff\xda")
    assert "more scans" in refused(data[:scan] + data[scan:-2] * 40 + data[-2:]).what


@pytest.mark.parametrize("kind", ["GIF", "BMP", "TIFF", "PPM"])
def test_kinds_that_are_not_taken(picture, kind):
    data = sent(Image.fromarray(picture), kind)
    assert refused(data).right == "An image is a PNG, JPEG or WebP file."


@pytest.mark.parametrize("data", [b"", b"GIF89a", b"<svg/>", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff"])
def test_bytes_that_are_no_image(data):
    error = refused(data)
    assert error.what == "The file is no image that can be read, or it is damaged."
    assert error.next == "Save it as PNG, and send that."


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_damaged_images_are_refused_or_read_and_nothing_else(picture, kind):
    """Cut short anywhere, and with bytes turned at random."""
    whole = sent(Image.fromarray(picture.repeat(4, 0).repeat(4, 1)), kind)
    random = np.random.default_rng(0)
    cut = [whole[:length] for length in range(0, len(whole) - 1, max(1, len(whole) // 40))]
    turned = [_turned(whole, random) for _ in range(150)]
    seen = [_tried(data) for data in cut + turned]
    assert seen.count("refused") > 20
    assert set(seen) <= {"refused", (6, 10, 3)}


def _turned(data, random):
    changed = bytearray(data)
    for place in random.integers(0, len(data), 4):
        changed[place] = random.integers(256)
    return bytes(changed)


def _tried(data):
    try:
        return decoded(data).shape
    except ImageError:
        return "refused"
