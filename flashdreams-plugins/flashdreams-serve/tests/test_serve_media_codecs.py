"""Frames as bytes and back, and the tag that survives it."""

import io
import itertools
from importlib import resources

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from flashdreams.errors import FieldValueError
from flashdreams_serve.media.encoders import H264Encoder, encoder_for
from flashdreams_serve.media.live import X264, Vp8
from flashdreams_serve.media.tag import NUMBERS, read_tag, strip_height, tagged

SIZES = [(64, 64), (65, 67), (96, 160)]


def picture(height, width, seed=0):
    """A smooth picture with a little noise, as models make them."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[0:height, 0:width]
    planes = [128 + 100 * np.sin(columns / 17 + seed), 128 + 100 * np.cos(rows / 13), rows + columns]
    return (np.stack(planes, -1) + rng.normal(0, 3, (height, width, 3))).clip(0, 255).astype(np.uint8)


def noise(height, width, seed):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def decoded_image(encoded):
    return np.asarray(Image.open(io.BytesIO(encoded.data)))


def decoder_of(name):
    return av.VideoCodecContext.create(name, "r")


def decoded_by(decoder, data):
    """The frames that come out for one access unit, ``[H, W, 3]`` each."""
    return [frame.to_ndarray(format="rgb24") for frame in decoder.decode(av.Packet(data))]


def psnr(one, other):
    return 10 * np.log10(255**2 / np.mean((one.astype(float) - other.astype(float)) ** 2))


@pytest.mark.parametrize("size", SIZES)
def test_png_and_rgb_are_exact(size):
    pixels = noise(*size, seed=1)
    assert np.array_equal(decoded_image(encoder_for("png").encode(pixels)), pixels)
    data = encoder_for("rgb").encode(pixels).data
    assert np.array_equal(np.frombuffer(data, np.uint8).reshape(pixels.shape), pixels)


@pytest.mark.parametrize("size", SIZES)
def test_jpeg_is_close(size):
    pixels = picture(*size)
    assert psnr(decoded_image(encoder_for("jpeg").encode(pixels)), pixels) > 35


@pytest.mark.parametrize("size", SIZES)
def test_h264_is_close_and_comes_without_delay(size):
    height, width = size
    encoder, decoder = H264Encoder(), decoder_of("h264")
    for index in range(20):
        pixels = np.roll(picture(height, width), index, axis=1)
        frames = decoded_by(decoder, encoder.encode(pixels).data)
        assert len(frames) == 1
        assert frames[0].shape == (height + height % 2, width + width % 2, 3)
        grey = frames[0][:height, :width].mean(-1)  # half the colour is left out
        assert psnr(grey, pixels.mean(-1)) > 32


def test_an_odd_size_repeats_its_edge_in_h264():
    pixels = np.zeros((33, 35, 3), np.uint8)
    pixels[-1], pixels[:, -1] = 255, 255
    [frame] = decoded_by(decoder_of("h264"), H264Encoder().encode(pixels).data)
    assert frame[33, :34].min() > 200
    assert frame[:33, 35].min() > 200
    assert frame[:30, :30].max() < 60


def test_frames_that_are_views_are_encoded_as_they_look():
    pixels = picture(64, 96)
    for codec in ("png", "rgb"):
        turned, copied = pixels[::-1, ::-1], pixels[::-1, ::-1].copy()
        assert encoder_for(codec).encode(turned) == encoder_for(codec).encode(copied)


def units(data):
    """Kinds of the NAL units of an Annex B access unit, and the bytes of each."""
    parts = data.replace(b"\0\0\0\1", b"\0\0\1").split(b"\0\0\1")[1:]
    return {part[0] & 31: part for part in parts}


def test_a_key_frame_stands_on_its_own_and_tells_its_codec():
    encoded = H264Encoder().encode(picture(64, 64))
    kinds = units(encoded.data)
    assert encoded.key
    assert {5, 7, 8} <= kinds.keys()
    assert kinds[7][1:4].hex() == "42c033"  # constrained baseline, level 5.1


def test_the_page_asks_its_browser_for_what_is_encoded():
    page = resources.files("flashdreams_serve") / "page" / "decoding.js"
    kinds = units(H264Encoder().encode(picture(64, 64)).data)
    assert f'codec: "avc1.{kinds[7][1:4].hex()}"' in page.read_text()


def test_h264_gives_a_key_frame_when_one_is_wanted_and_not_before():
    encoder = H264Encoder()
    keys = []
    for index in range(12):
        if index == 6:
            encoder.want_key()
        encoded = encoder.encode(noise(64, 64, index))  # nothing like the one before
        keys.append(encoded.key)
        assert encoded.key == (7 in units(encoded.data))
    assert keys == [index in (0, 6) for index in range(12)]


def test_h264_gives_a_key_frame_every_two_seconds():
    ticks = itertools.count()
    encoder = H264Encoder(clock=lambda: next(ticks) / 8)
    keys = [encoder.encode(picture(64, 64)).key for _ in range(50)]
    assert [index for index, key in enumerate(keys) if key] == [0, 16, 32, 48]


def test_h264_begins_anew_with_another_size():
    encoder, decoder = H264Encoder(), decoder_of("h264")
    for size in ((64, 64), (96, 80), (64, 64)):
        encoded = encoder.encode(picture(*size))
        assert encoded.key
        [frame] = decoded_by(decoder, encoded.data)
        assert frame.shape[:2] == size


def test_an_image_is_always_a_key_frame():
    for codec in ("jpeg", "png", "rgb"):
        encoder = encoder_for(codec)
        encoder.want_key()
        assert all(encoder.encode(picture(32, 32)).key for _ in range(2))


def test_a_codec_that_is_none_is_named():
    with pytest.raises(FieldValueError, match="jpg") as caught:
        encoder_for("jpg")
    assert caught.value.right == "Did you mean 'jpeg'?"


numbers = st.integers(0, 2**40)
widths = st.integers(32, 200)


@given(number=numbers, width=widths, height=st.integers(1, 40), seed=st.integers(0, 999))
def test_a_tag_is_read_back(number, width, height, seed):
    pixels = noise(height, width, seed)
    frame = tagged(pixels, number)
    assert frame.shape == (height + strip_height(width), width, 3)
    assert np.array_equal(frame[:height], pixels)
    assert read_tag(frame) == number % NUMBERS


def test_a_tag_is_what_the_protocol_says():
    frame = tagged(np.zeros((4, 64, 3), np.uint8), 0x800001)
    assert frame.shape == (6, 64, 3)
    bits = "".join(str(value // 255) for value in frame[5, ::2, 0])
    assert bits == "100000000000000000000001" + f"{~(0x80 + 0x01) & 255:08b}"


def test_noise_is_taken_for_a_tag_as_rarely_as_its_checksum_allows():
    misread = sum(read_tag(noise(34, 64, seed)) is not None for seed in range(2560))
    assert misread <= 25  # 10 are to be expected


def test_a_plain_picture_carries_no_tag():
    for value in (0, 255):
        assert read_tag(np.full((40, 64, 3), value, np.uint8)) is None
    assert read_tag(np.zeros((1, 64, 3), np.uint8)) is None
    assert read_tag(np.zeros((40, 31, 3), np.uint8)) is None


def test_a_narrow_frame_cannot_carry_a_tag():
    with pytest.raises(FieldValueError, match="31 pixels wide"):
        tagged(np.zeros((16, 31, 3), np.uint8), 1)


@settings(max_examples=30, deadline=None)
@given(number=numbers, width=st.sampled_from([64, 96, 160, 256]), seed=st.integers(0, 999))
def test_a_tag_survives_jpeg_below_noise(number, width, seed):
    encoded = encoder_for("jpeg").encode(tagged(noise(48, width, seed), number))
    assert read_tag(decoded_image(encoded)) == number % NUMBERS


@settings(max_examples=20, deadline=None)
@given(
    first=numbers,
    width=st.sampled_from([64, 66, 96, 160, 256]),
    height=st.sampled_from([46, 47, 48]),
    seed=st.integers(0, 999),
)
def test_a_tag_survives_h264_below_noise(first, width, height, seed):
    encoder, decoder = H264Encoder(), decoder_of("h264")
    for number in range(first, first + 4):
        frame = tagged(noise(height, width, seed + number), number)
        [shown] = decoded_by(decoder, encoder.encode(frame).data)
        assert read_tag(shown[: len(frame)]) == number % NUMBERS


@settings(max_examples=10, deadline=None)
@given(first=numbers, seed=st.integers(0, 999))
def test_a_tag_survives_vp8_below_noise(first, seed):
    encoder, decoder = Vp8(), decoder_of("vp8")
    for number in range(first, first + 4):
        pixels = np.kron(noise(48, 48, seed + number), np.ones((6, 6, 1), np.uint8))
        data, _ = encoder.encode(tagged(pixels, number), at=number - first, key=False)
        [shown] = decoded_by(decoder, data)
        assert read_tag(shown) == number % NUMBERS


@pytest.mark.parametrize(("kind", "name"), [(X264, "h264"), (Vp8, "vp8")])
def test_a_key_frame_that_is_asked_for_stands_on_its_own(kind, name):
    encoder = kind()
    for index in range(6):
        _, key = encoder.encode(picture(64, 96), at=index / 16, key=index == 4)
        assert key == (index in (0, 4))
    [shown] = decoded_by(decoder_of(name), encoder.encode(picture(64, 96), at=1, key=True)[0])
    assert psnr(shown.mean(-1), picture(64, 96).mean(-1)) > 28
