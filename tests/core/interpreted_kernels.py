"""Kernels against their twins in Triton's interpreter, over random shapes, strides and dtypes.

Run by test_kernels.py in a process of its own: an interpreting process cannot compile, and TRITON_INTERPRET
is read when triton is imported. The interpreter truncates where a card rounds to bfloat16, so a result may be
off by one unit in the last place.
"""

import random

import pytest
import torch

from flashdreams.core.kernels import modulate as adaln
from flashdreams.core.kernels import norm_rope as rope
from flashdreams.core.kernels import quantise_rows as rows
from flashdreams.core.kernels.pixels import pixels_to_bytes_kernel, pixels_to_bytes_twin

DTYPES = (torch.float32, torch.float16, torch.bfloat16)
EPS = 1e-6
# Of values up to about 5. In float32 norms and rotations differ by 9.5e-7 at most, as measured; the shorter
# ones by a unit in the last place.
TOLERANCE = {
    torch.float32: dict(atol=2e-6, rtol=0),
    torch.float16: dict(atol=2**-13, rtol=2**-10),
    torch.bfloat16: dict(atol=2**-10, rtol=2**-7),
}


def assert_equal(kernel, twin):
    torch.testing.assert_close(kernel, twin, **TOLERANCE[kernel.dtype])


class Draws:
    """Random sizes and tensors."""

    def __init__(self, seed):
        self.random = random.Random(seed)
        self.generator = torch.Generator().manual_seed(seed)
        self.dtype = DTYPES[seed % 3]

    def among(self, *choices):
        return self.random.choice(choices)

    def normal(self, *shape, dtype=None):
        return torch.randn(shape, generator=self.generator).to(dtype or self.dtype)

    def tokens(self, batch, length, *row):
        """Tokens, contiguous, or parts of a wider tensor, or with the batch innermost but for the row."""
        layout = self.among("contiguous", "part", "swapped")
        if layout == "part":
            return self.normal(batch, length + 2, 2, *row)[:, 1:-1, 1]
        if layout == "swapped":
            return self.normal(length, batch, *row).transpose(0, 1)
        return self.normal(batch, length, *row)

    def vector(self, x):
        """Float32, one for all tokens, for each video, or for each token."""
        batch, length, width = x.shape
        shape = self.among((width,), (batch, 1, width), (batch, length, width))
        return self.normal(*shape, dtype=torch.float32)


@pytest.mark.parametrize("seed", range(30))
def test_norm_rope_write(seed):
    draw = Draws(seed)
    batch, length, heads, head_dim = (draw.among(*s) for s in ((1, 2), (1, 3), (1, 2, 3), (4, 6, 12, 16)))
    q, k, v = (draw.tokens(batch, length, heads, head_dim) for _ in range(3))
    keys = draw.normal(batch, 7, heads, head_dim)
    values = draw.normal(batch, 7, heads, head_dim)
    ring_of_twin = keys.clone(), values.clone()
    index = torch.randperm(7, generator=draw.generator)[:length]
    turns = torch.polar(
        torch.ones(length, head_dim // 2), draw.normal(length, head_dim // 2, dtype=torch.float32)
    )
    width = draw.among(None, head_dim, heads * head_dim)
    gains = None if width is None else (draw.normal(width), draw.normal(width))
    turns_keys = draw.among(True, False)
    out = torch.full((batch, length, heads, head_dim), torch.nan, dtype=q.dtype)
    both = (None, None) if gains is None else gains
    rope.norm_rope_write_kernel(q, k, v, out, keys, values, index, turns, *both, EPS, turns_keys)
    twin = rope.norm_rope_write_twin((q, k, v), *ring_of_twin, index, turns, gains, EPS, turns_keys)
    assert_equal(out, twin)
    assert_equal(keys, ring_of_twin[0])
    assert torch.equal(values, ring_of_twin[1])


@pytest.mark.parametrize("seed", range(15))
def test_norm_rope(seed):
    draw = Draws(seed)
    batch, length, heads, head_dim = (draw.among(*s) for s in ((1, 2), (1, 3), (1, 2, 3), (4, 6, 12, 16)))
    x = draw.tokens(batch, length, heads, head_dim)
    # A part of more rotations, as that of a window which is not yet full.
    turns = torch.polar(torch.ones(9, head_dim // 2), draw.normal(9, head_dim // 2, dtype=torch.float32))
    width = draw.among(None, head_dim, heads * head_dim)
    gain = None if width is None else draw.normal(width, dtype=draw.among(x.dtype, torch.float32))
    out = torch.full(x.shape, torch.nan, dtype=x.dtype)
    rope.norm_rope_kernel(x, out, turns[2 : 2 + length], gain, EPS)
    assert_equal(out, rope.norm_rope_twin(x, turns[2 : 2 + length], gain, EPS))


@pytest.mark.parametrize("norm", ["layer", "rms"])
@pytest.mark.parametrize("seed", range(9))
def test_modulate(seed, norm):
    draw = Draws(seed)
    x = draw.tokens(*(draw.among(1, 2) for _ in range(2)), draw.among(3, 16, 33))
    shift, gain = draw.vector(x), draw.vector(x)
    out = torch.full(x.shape, torch.nan, dtype=x.dtype)
    adaln.modulate_kernel(x, out, shift.expand_as(x), gain.expand_as(x), EPS, norm)
    assert_equal(out, adaln.modulate_twin(x, shift, gain, EPS, norm))


@pytest.mark.parametrize("has_gate", [True, False])
@pytest.mark.parametrize("seed", range(12))
def test_add_modulate(seed, has_gate):
    draw = Draws(seed)
    x = draw.tokens(*(draw.among(1, 2) for _ in range(2)), draw.among(16, 33))
    # One number in the last place of a token moves its norm by more where the token's values are small, so
    # that the norm is compared on the kernel's own sum.
    x_of_twin, update = x.clone(), draw.tokens(*x.shape)
    gate, shift, gain = (draw.vector(x) for _ in range(3))
    norm = draw.among("layer", "rms")
    out = torch.full(x.shape, torch.nan, dtype=x.dtype)
    wide_gate = gate.expand_as(x) if has_gate else None
    adaln.add_modulate_kernel(x, out, update, wide_gate, shift.expand_as(x), gain.expand_as(x), EPS, norm)
    adaln.add_modulate_twin_(x_of_twin, update, gate if has_gate else None, shift, gain, EPS, norm)
    assert_equal(x, x_of_twin)
    assert_equal(out, adaln.modulate_twin(x, shift, gain, EPS, norm))


@pytest.mark.parametrize("seed", range(6))
def test_gated_add(seed):
    draw = Draws(seed)
    x = draw.tokens(*(draw.among(1, 2) for _ in range(2)), draw.among(3, 16, 33))
    x_of_twin, update, gate = x.clone(), draw.tokens(*x.shape), draw.vector(x)
    adaln.gated_add_kernel(x, update, gate.expand_as(x))
    assert_equal(x, adaln.gated_add_twin_(x_of_twin, update, gate))


@pytest.mark.parametrize("seed", range(9))
def test_pixels_to_bytes(seed):
    draw = Draws(seed)
    batch, frames, height, width = (
        draw.among(1, 2),
        draw.among(1, 2),
        draw.among(1, 3),
        draw.among(1, 5, 400),
    )
    pixels = draw.normal(batch, 3, frames, height, width)
    if draw.among(True, False):
        pixels = pixels.to(memory_format=torch.channels_last_3d)
    out = torch.empty(batch, frames, height, width, 3, dtype=torch.uint8)
    pixels_to_bytes_kernel(pixels, out)
    assert torch.equal(out, pixels_to_bytes_twin(pixels, torch.empty_like(out)))


def test_every_byte_comes_back_and_halves_go_to_the_even_one():
    levels = torch.arange(256.0)
    between = torch.arange(0.5, 255)
    pixels = torch.cat([levels / 127.5 - 1, between / 127.5 - 1, torch.tensor([-9.0, 9.0])])
    pixels = pixels.expand(1, 3, 1, 1, -1)
    out, twin = (torch.empty(1, 1, 1, pixels.shape[-1], 3, dtype=torch.uint8) for _ in range(2))
    pixels_to_bytes_kernel(pixels, out)
    assert torch.equal(out, pixels_to_bytes_twin(pixels, twin))
    assert torch.equal(out[0, 0, 0, :256, 1], levels.byte())
    assert out[0, 0, 0, -2:, 0].tolist() == [0, 255]


@pytest.mark.parametrize("seed", range(6))
def test_quantise_rows(seed):
    draw = Draws(seed)
    x = draw.tokens(1, draw.among(1, 3), draw.among(3, 16, 33))[0]
    out, factor = torch.empty(x.shape, dtype=torch.float8_e4m3fn), torch.empty(len(x), 1)
    rows.quantise_rows_kernel(x, out, factor)
    twin, factor_of_twin = rows.quantise_rows_twin(x)
    assert torch.equal(factor, factor_of_twin)  # or halves would be rounded either way
    # Where rounding carries into the exponent the interpreter may lose the carry, and it rounds the smallest
    # numbers otherwise; elsewhere it may round a half the other way.
    mantissa, exponent = torch.frexp(twin.float())
    comparable = (mantissa.abs() > 0.5) & (exponent > -5)
    assert comparable.float().mean() > 0.5
    torch.testing.assert_close(out.float()[comparable], twin.float()[comparable], atol=0, rtol=1 / 8)


def test_torch_is_told_the_truth_about_what_is_written():
    # Schema and shapes without values, which torch.compile and captured graphs rely on.
    draw, checks = Draws(0), ("test_schema", "test_faketensor")
    q, k, v, out = (draw.normal(1, 2, 1, 4) for _ in range(4))
    ring, index = (draw.normal(1, 4, 1, 4), draw.normal(1, 4, 1, 4)), torch.tensor([1, 3])
    turns = torch.ones(2, 2, dtype=torch.complex64)
    arguments = (q, k, v, out, *ring, index, turns, None, None, EPS, True)
    torch.library.opcheck(rope.norm_rope_write_kernel, arguments, test_utils=checks)
    torch.library.opcheck(rope.norm_rope_kernel, (q, out, turns, None, EPS), test_utils=checks)
    x, y, u, g, s, c = (draw.normal(1, 2, 4) for _ in range(6))
    torch.library.opcheck(adaln.modulate_kernel, (x, y, s, c, EPS, "layer"), test_utils=checks)
    torch.library.opcheck(adaln.add_modulate_kernel, (x, y, u, g, s, c, EPS, "rms"), test_utils=checks)
    torch.library.opcheck(adaln.gated_add_kernel, (x, u, g), test_utils=checks)
    pixels, levels = draw.normal(1, 3, 1, 1, 2), torch.empty(1, 1, 1, 2, 3, dtype=torch.uint8)
    torch.library.opcheck(pixels_to_bytes_kernel, (pixels, levels), test_utils=checks)
