"""Every kernel at the sizes of Wan's models, beside its twin: for tables, comparisons and timings.

A kernel is launched as it is: on a CPU that needs Triton's interpreter (or a compiler that only compiles).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from flashdreams.core.kernels import modulate as adaln
from flashdreams.core.kernels import norm_rope as rope
from flashdreams.core.kernels import pixels as bytes_
from flashdreams.core.kernels import quantise_rows as rows
from flashdreams.core.kernels.launching import FLOAT8, OLDEST, Capability

Results = list[Tensor]
EPS = 1e-6
HEAD_DIM = 128
WIDTHS = {"1.3B": 12, "14B": 40}
"""Heads of Wan 2.1's two sizes."""


@dataclass(frozen=True)
class KernelCase:
    """A kernel and its twin on the same inputs."""

    kernel: str
    """Name of the function that dispatches to it."""
    sizes: str
    """For people: the model whose sizes these are, and what is special."""
    dtype: torch.dtype
    inputs: tuple[Tensor, ...]
    """What both are given; some of it is overwritten."""
    run_kernel: Callable[..., Results]
    """Launches the kernel on the inputs, and returns all that it wrote."""
    run_twin: Callable[..., Results]
    """The same by the twin."""
    since: Capability = OLDEST
    """Compute capability of the oldest card that has what the kernel needs."""

    def compare(self) -> float:
        """The largest difference of kernel and twin, each on copies of the inputs.

        It is relative to the largest value of each result, so one rounding of the dtype is its ``eps``.
        """
        kernel, twin = (run(*(t.clone() for t in self.inputs)) for run in (self.run_kernel, self.run_twin))
        pairs = [(a.float(), b.float()) for a, b in zip(kernel, twin, strict=True)]
        return max(((a - b).abs().max() / b.abs().max()).item() for a, b in pairs)


def kernel_cases(device: torch.device | str, tokens: int = 4680, frames: int = 12) -> list[KernelCase]:
    """Cases for all kernels.

    Args:
        device: Where the inputs lie.
        tokens: Tokens of a chunk; 3 latent frames at 832x480 have 4680.
        frames: Pixel frames of 832x480.
    """
    half, full = torch.bfloat16, torch.float32
    made = []
    with torch.device(device):
        for model, heads in WIDTHS.items():
            made += [_norm_rope_write(model, heads, half, tokens, True)]
            made += [
                _modulate(model, heads, half, tokens, "layer"),
                _add_modulate(model, heads, half, tokens),
            ]
            made += [_gated_add(model, heads, half, tokens), _quantise_rows(model, heads, half, tokens)]
        heads = WIDTHS["1.3B"]
        made += [_norm_rope_write("1.3B", heads, full, tokens, True)]
        made += [_norm_rope_write("1.3B, keys stored raw", heads, half, tokens, False)]
        made += [
            _norm_rope("1.3B", heads, half, tokens, True),
            _norm_rope("1.3B", heads, half, tokens, False),
        ]
        made += [
            _modulate("1.3B", heads, half, tokens, "rms"),
            _modulate("1.3B", heads, full, tokens, "layer"),
        ]
        made += [_pixels(half, frames), _pixels(full, frames)]
        made += [_norm_rope_write("widest", rope.WIDEST // HEAD_DIM, full, tokens, True)]
        made += [_add_modulate("widest", adaln.WIDEST // HEAD_DIM, full, tokens)]
        made += [_quantise_rows("widest", rows.WIDEST // HEAD_DIM, half, tokens)]
    return sorted(made, key=lambda case: case.kernel)


def _normal(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(shape, dtype=dtype)


def _turns(tokens: int) -> Tensor:
    """Rotations as Wan's transformer keeps them, complex64 ``[tokens, HEAD_DIM / 2]``."""
    return torch.polar(torch.ones(tokens, HEAD_DIM // 2), 3 * _normal(tokens, HEAD_DIM // 2))


def _norm_rope_write(sizes: str, heads: int, dtype: torch.dtype, tokens: int, turns_keys: bool) -> KernelCase:
    qkv = [_normal(1, tokens, heads, HEAD_DIM, dtype=dtype) for _ in range(3)]
    ring = [torch.zeros(1, 2 * tokens, heads, HEAD_DIM, dtype=dtype) for _ in range(2)]
    gains = [1 + 0.1 * _normal(heads * HEAD_DIM, dtype=dtype) for _ in range(2)]
    inputs = (*qkv, *ring, torch.arange(tokens) + tokens // 2, _turns(tokens), *gains)

    def kernel(
        q: Tensor,
        k: Tensor,
        v: Tensor,
        keys: Tensor,
        values: Tensor,
        index: Tensor,
        turns: Tensor,
        *gains: Tensor,
    ) -> Results:
        out = torch.empty_like(q)
        rope.norm_rope_write_kernel(q, k, v, out, keys, values, index, turns, *gains, EPS, turns_keys)
        return [out, keys, values]

    def twin(
        q: Tensor,
        k: Tensor,
        v: Tensor,
        keys: Tensor,
        values: Tensor,
        index: Tensor,
        turns: Tensor,
        *gains: Tensor,
    ) -> Results:
        both = (gains[0], gains[1])
        out = rope.norm_rope_write_twin((q, k, v), keys, values, index, turns, both, EPS, turns_keys)
        return [out, keys, values]

    return KernelCase("norm_rope_write", sizes, dtype, inputs, kernel, twin)


def _norm_rope(model: str, heads: int, dtype: torch.dtype, tokens: int, norms: bool) -> KernelCase:
    gains = [1 + 0.1 * _normal(heads * HEAD_DIM, dtype=dtype)] if norms else []
    inputs = (_normal(1, tokens, heads, HEAD_DIM, dtype=dtype), _turns(tokens), *gains)

    def kernel(x: Tensor, turns: Tensor, gain: Tensor | None = None) -> Results:
        out = torch.empty_like(x)
        rope.norm_rope_kernel(x, out, turns, gain, EPS)
        return [out]

    def twin(x: Tensor, turns: Tensor, gain: Tensor | None = None) -> Results:
        return [rope.norm_rope_twin(x, turns, gain, EPS)]

    sizes = model if norms else f"{model}, no norm"
    return KernelCase("norm_rope", sizes, dtype, inputs, kernel, twin)


def _modulate(model: str, heads: int, dtype: torch.dtype, tokens: int, norm: adaln.Norm) -> KernelCase:
    width = heads * HEAD_DIM
    inputs = (_normal(1, tokens, width, dtype=dtype), 0.3 * _normal(width), 1 + 0.3 * _normal(width))

    def kernel(x: Tensor, shift: Tensor, gain: Tensor) -> Results:
        out = torch.empty_like(x)
        adaln.modulate_kernel(x, out, shift.expand_as(x), gain.expand_as(x), EPS, norm)
        return [out]

    def twin(x: Tensor, shift: Tensor, gain: Tensor) -> Results:
        return [adaln.modulate_twin(x, shift, gain, EPS, norm)]

    return KernelCase("modulate", f"{model}, {norm} norm", dtype, inputs, kernel, twin)


def _add_modulate(model: str, heads: int, dtype: torch.dtype, tokens: int) -> KernelCase:
    width = heads * HEAD_DIM
    vectors = (0.3 * _normal(width) for _ in range(3))
    inputs = (*(_normal(1, tokens, width, dtype=dtype) for _ in range(2)), *vectors)

    def kernel(x: Tensor, update: Tensor, *vectors: Tensor) -> Results:
        out = torch.empty_like(x)
        adaln.add_modulate_kernel(x, out, update, *(t.expand_as(x) for t in vectors), EPS, "layer")
        return [x, out]

    def twin(x: Tensor, update: Tensor, gate: Tensor, shift: Tensor, gain: Tensor) -> Results:
        return [x, adaln.add_modulate_twin_(x, update, gate, shift, gain, EPS, "layer")]

    return KernelCase("add_modulate_", f"{model}, layer norm", dtype, inputs, kernel, twin)


def _gated_add(model: str, heads: int, dtype: torch.dtype, tokens: int) -> KernelCase:
    width = heads * HEAD_DIM
    x, update = (_normal(1, tokens, width, dtype=dtype) for _ in range(2))

    def kernel(x: Tensor, update: Tensor, gate: Tensor) -> Results:
        adaln.gated_add_kernel(x, update, gate.expand_as(x))
        return [x]

    def twin(x: Tensor, update: Tensor, gate: Tensor) -> Results:
        return [adaln.gated_add_twin_(x, update, gate)]

    return KernelCase("gated_add_", model, dtype, (x, update, _normal(width)), kernel, twin)


def _quantise_rows(model: str, heads: int, dtype: torch.dtype, tokens: int) -> KernelCase:
    def kernel(x: Tensor) -> Results:
        out = torch.empty(x.shape, dtype=torch.float8_e4m3fn, device=x.device)
        scale = torch.empty(len(x), 1, device=x.device)
        rows.quantise_rows_kernel(x, out, scale)
        return [out, scale]

    def twin(x: Tensor) -> Results:
        return [*rows.quantise_rows_twin(x)]

    inputs = (_normal(tokens, heads * HEAD_DIM, dtype=dtype),)
    return KernelCase("quantise_rows", model, dtype, inputs, kernel, twin, FLOAT8)


def _pixels(dtype: torch.dtype, frames: int) -> KernelCase:
    pixels = _normal(1, 3, frames, 480, 832, dtype=dtype)

    def out(pixels: Tensor) -> Tensor:
        batch, colours, *place = pixels.shape
        return torch.empty((batch, *place, colours), dtype=torch.uint8, device=pixels.device)

    def kernel(pixels: Tensor) -> Results:
        result = out(pixels)
        bytes_.pixels_to_bytes_kernel(pixels, result)
        return [result]

    def twin(pixels: Tensor) -> Results:
        return [bytes_.pixels_to_bytes_twin(pixels, out(pixels))]

    return KernelCase("pixels_to_bytes", "832x480", dtype, (pixels,), kernel, twin)
