"""Rows in float8 with a scale for each: what a token goes through before a scaled product.

In plain torch it is four passes over the tokens (largest value, division, rounding, storing); here they are
read once and written once, in half or a quarter of the bytes.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
from torch import Tensor

from flashdreams.core.kernels.launching import FLOAT8, block, runs_kernels, warps

FLOAT8_MAX = 448.0
"""Largest number of float8_e4m3fn."""
_SHARE = 1 / FLOAT8_MAX
SMALLEST_SCALE = 2.0**-100
"""What a row of zeros is multiplied by; far below what any row of a model needs."""
WIDEST = 16384
"""Channels of a row that a program keeps in registers."""


def quantise_rows(x: Tensor) -> tuple[Tensor, Tensor]:
    """Scale every row to the range of float8, and round it.

    Args:
        x: Floating point, ``[rows, width]``.

    Returns:
        float8_e4m3fn ``[rows, width]``, contiguous, and what each row is multiplied by to restore it, float32
        ``[rows, 1]``.
    """
    if not _fits(x):
        return quantise_rows_twin(x)
    out = torch.empty(x.shape, dtype=torch.float8_e4m3fn, device=x.device)
    scale = torch.empty(x.shape[0], 1, dtype=torch.float32, device=x.device)
    quantise_rows_kernel(x, out, scale)
    return out, scale


def quantise_rows_twin(x: Tensor) -> tuple[Tensor, Tensor]:
    """What :func:`quantise_rows` computes, in plain torch."""
    exact = x.to(torch.float32)
    # Not divided by 448: a card's torch multiplies by the inverse where a CPU's divides, and their last bits
    # decide which way a half is rounded.
    scale = (exact.abs().amax(dim=1, keepdim=True) * _SHARE).clamp_min(SMALLEST_SCALE)
    return (exact / scale).clamp_(-FLOAT8_MAX, FLOAT8_MAX).to(torch.float8_e4m3fn), scale


@torch.library.custom_op("flashdreams::quantise_rows_kernel", mutates_args=("out", "scale"))
def quantise_rows_kernel(x: Tensor, out: Tensor, scale: Tensor) -> None:
    """Launch the kernel of :func:`quantise_rows`; ``out`` and ``scale`` are contiguous."""
    rows, width = x.shape
    size = block(width)
    with torch.cuda.device_of(x):
        _kernel()[(rows,)](
            x,
            out,
            scale,
            x.stride(0),
            SHARE=_SHARE,
            SMALLEST=SMALLEST_SCALE,
            WIDTH=width,
            BLOCK=size,
            num_warps=warps(size),
        )


@quantise_rows_kernel.register_fake
def _(*args: Any) -> None:
    return None


def _fits(x: Tensor) -> bool:
    """Whether the kernel takes these rows."""
    return runs_kernels(x, since=FLOAT8) and x.shape[1] <= WIDEST and x.stride(1) == 1 and x.numel() > 0


@cache
def _kernel() -> Any:
    """The kernel: a program for each row."""
    import triton
    import triton.language as tl

    @triton.jit
    def float8_rows(
        x, out, scale, x_row,
        SHARE: tl.constexpr, SMALLEST: tl.constexpr, WIDTH: tl.constexpr, BLOCK: tl.constexpr,
    ):  # fmt: skip
        row = tl.program_id(0).to(tl.int64)
        at = tl.arange(0, BLOCK)
        inside = at < WIDTH
        values = tl.load(x + row * x_row + at, inside, 0.0).to(tl.float32)
        factor = tl.maximum(tl.max(tl.abs(values), 0) * SHARE, SMALLEST)
        # The plain sign divides to two units in the last place, and halves are rounded the other way then.
        scaled = tl.minimum(tl.maximum(tl.div_rn(values, factor), -448.0), 448.0)
        tl.store(out + row * WIDTH + at, scaled.to(out.dtype.element_ty), inside)
        tl.store(scale + row, factor)

    return float8_rows
