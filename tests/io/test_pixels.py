import numpy as np
import pytest
import torch

from flashdreams.errors import FieldValueError
from flashdreams.io.pixels import enlarge, side_by_side, to_uint8


def test_every_byte_survives_the_way_to_pixels_and_back():
    levels = torch.arange(256).view(1, 1, 1, 16, 16).expand(2, 3, 1, 16, 16)
    back = to_uint8(levels / 127.5 - 1)
    assert (back == levels.permute(0, 2, 3, 4, 1).numpy()).all()


def test_rounding_is_to_the_nearest_level_halves_to_even_and_clamped():
    pixels = torch.tensor([-1e9, -1.0, -0.999, 0.0, 1 / 127.5, 1.5 / 127.5, 0.999, 1.0, 7.0])
    levels = to_uint8(pixels.view(1, 1, 1, 1, -1).expand(1, 3, 1, 1, -1))[0, 0, 0, :, 0]
    assert levels.tolist() == [0, 0, 0, 128, 128, 129, 255, 255, 255]


def test_shape_layout_and_input_left_alone():
    pixels = torch.randn(2, 3, 4, 5, 6, generator=torch.Generator().manual_seed(0))
    before = pixels.clone()
    levels = to_uint8(pixels)
    assert levels.shape == (2, 4, 5, 6, 3)
    assert levels.flags["C_CONTIGUOUS"]
    assert torch.equal(pixels, before)
    expected = np.clip((pixels[1, 2, 3, 4, 5].item() + 1) * 127.5, 0, 255)
    assert abs(int(levels[1, 3, 4, 5, 2]) - expected) <= 0.5


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_rounded_in_float32(dtype):
    pixels = torch.linspace(-1, 1, 3000).to(dtype).view(1, 3, 10, 10, 10)
    assert (to_uint8(pixels) == to_uint8(pixels.float())).all()


def test_a_batch_stands_side_by_side_first_one_left():
    batch = np.arange(2 * 3 * 4 * 5 * 3, dtype=np.uint8).reshape(2, 3, 4, 5, 3)
    wide = side_by_side(batch)
    assert wide.shape == (3, 4, 10, 3)
    assert (wide[:, :, :5] == batch[0]).all()
    assert (wide[:, :, 5:] == batch[1]).all()


def test_enlarging_makes_squares():
    frames = np.arange(2 * 3 * 4 * 3, dtype=np.uint8).reshape(2, 3, 4, 3)
    large = enlarge(frames, 3)
    assert large.shape == (2, 9, 12, 3)
    for row in range(3):
        for column in range(3):
            assert (large[:, row::3, column::3] == frames).all()
    assert enlarge(frames, 1) is frames


def test_a_scale_below_one_is_refused():
    with pytest.raises(
        FieldValueError, match=r"scale is 0\.\nA frame is enlarged by a whole number, 1 or more\."
    ):
        enlarge(np.zeros((1, 2, 2, 3), np.uint8), 0)
