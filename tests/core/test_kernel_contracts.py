"""Core's kernels keep the contract: interpreted, they are their twins, whatever the layout."""

import torch

from flashdreams.core.kernels import modulate as adaln
from flashdreams.core.kernels import norm_rope as rope
from flashdreams.core.kernels.pixels import pixels_to_bytes, pixels_to_bytes_kernel, pixels_to_bytes_twin
from flashdreams.testing import KernelContract

EPS = 1e-6


def turns(draw, length, head_dim):
    """Rotations, complex64 ``[length, head_dim / 2]``."""
    angles = draw.normal(length, head_dim // 2, dtype=torch.float32)
    return torch.polar(torch.ones_like(angles), angles)


def sizes(draw):
    return draw.among(1, 2), draw.among(1, 3), draw.among(1, 2, 3), draw.among(4, 6, 12)


def wide(x, *vectors):
    return [vector.expand_as(x) for vector in vectors]


class TestNormRope(KernelContract):
    @staticmethod
    def function(x, turns, gain):
        return rope.norm_rope(x, turns, gain, EPS)

    @staticmethod
    def twin(x, turns, gain):
        return rope.norm_rope_twin(x, turns, gain, EPS)

    @staticmethod
    def kernel(x, turns, gain):
        out = torch.empty(x.shape, dtype=x.dtype, device=x.device)
        rope.norm_rope_kernel(x, out, turns, gain, EPS)
        return out

    def inputs(self, draw):
        batch, length, heads, head_dim = sizes(draw)
        x = draw.strided(batch, length, heads, head_dim, dims=2)
        width = draw.among(None, head_dim, heads * head_dim)
        return x, turns(draw, length, head_dim), None if width is None else draw.normal(width)


class TestNormRopeWrite(KernelContract):
    overwrites = (3, 4)

    @staticmethod
    def function(q, k, v, keys, values, index, turns, *gains):
        return rope.norm_rope_write((q, k, v), keys, values, index, turns, gains, EPS)

    @staticmethod
    def twin(q, k, v, keys, values, index, turns, *gains):
        return rope.norm_rope_write_twin((q, k, v), keys, values, index, turns, gains, EPS, True)

    @staticmethod
    def kernel(q, k, v, keys, values, index, turns, *gains):
        out = torch.empty(q.shape, dtype=q.dtype, device=q.device)
        rope.norm_rope_write_kernel(q, k, v, out, keys, values, index, turns, *gains, EPS, True)
        return out

    def inputs(self, draw):
        batch, length, heads, head_dim = sizes(draw)
        qkv = [draw.strided(batch, length, heads, head_dim, dims=2) for _ in range(3)]
        ring = [draw.normal(batch, 5, heads, head_dim) for _ in range(2)]
        gains = [draw.normal(heads * head_dim) for _ in range(2)]
        return (*qkv, *ring, draw.order(5)[:length], turns(draw, length, head_dim), *gains)


class TestModulate(KernelContract):
    @staticmethod
    def function(x, shift, gain, norm):
        return adaln.modulate(x, shift, gain, eps=EPS, norm=norm)

    @staticmethod
    def twin(x, shift, gain, norm):
        return adaln.modulate_twin(x, shift, gain, EPS, norm)

    @staticmethod
    def kernel(x, shift, gain, norm):
        out = torch.empty(x.shape, dtype=x.dtype, device=x.device)
        adaln.modulate_kernel(x, out, *wide(x, shift, gain), EPS, norm)
        return out

    def inputs(self, draw):
        batch, length, width = draw.among(1, 2), draw.among(1, 3), draw.among(3, 16, 33)
        shape = draw.among((width,), (batch, 1, width), (batch, length, width))
        vectors = [draw.normal(*shape, dtype=torch.float32) for _ in range(2)]
        return draw.strided(batch, length, width, dims=2), *vectors, draw.among("layer", "rms")


class TestGatedAdd(KernelContract):
    overwrites = (0,)
    function = staticmethod(adaln.gated_add_)
    twin = staticmethod(adaln.gated_add_twin_)

    @staticmethod
    def kernel(x, update, gate):
        adaln.gated_add_kernel(x, update, gate.expand_as(x))
        return x

    def inputs(self, draw):
        shape = draw.among(1, 2), draw.among(1, 3), draw.among(3, 16, 33)
        x, update = (draw.strided(*shape, dims=2) for _ in range(2))
        return x, update, draw.normal(shape[-1], dtype=torch.float32)


class TestPixelsToBytes(KernelContract):
    function = staticmethod(pixels_to_bytes)

    @staticmethod
    def twin(pixels):
        return pixels_to_bytes_twin(pixels, bytes_for(pixels))

    @staticmethod
    def kernel(pixels):
        out = bytes_for(pixels)
        pixels_to_bytes_kernel(pixels, out)
        return out

    def inputs(self, draw):
        return (draw.strided(draw.among(1, 2), 3, draw.among(1, 2), draw.among(1, 3), draw.among(1, 5, 400)),)


def bytes_for(pixels):
    batch, colours, *place = pixels.shape
    return torch.empty(batch, *place, colours, dtype=torch.uint8, device=pixels.device)
