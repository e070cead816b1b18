"""Pixels to bytes, frame by frame with the colours innermost, in one pass and without a copy between."""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
from torch import Tensor

from flashdreams.core.kernels.launching import runs_kernels

RUN = 1024
"""Bytes that a program writes, four to a thread."""


def pixels_to_bytes(pixels: Tensor, out: Tensor | None = None) -> Tensor:
    """Pixels in [-1, 1] as bytes, on the same device.

    A byte is ``(pixel + 1) * 127.5`` in float32, clamped to [0, 255] and rounded to the nearest whole
    number, halves to the even one. It undoes ``byte / 127.5 - 1`` exactly.

    Args:
        pixels: ``[B, 3, T, H, W]``, of any strides.
        out: Where the bytes go, contiguous uint8 ``[B, T, H, W, 3]``; new memory where None.

    Returns:
        uint8 ``[B, T, H, W, 3]``, contiguous.
    """
    batch, colours, *place = pixels.shape
    if out is None:
        out = torch.empty((batch, *place, colours), dtype=torch.uint8, device=pixels.device)
    fits = out.shape == (batch, *place, colours) and out.is_contiguous() and out.device == pixels.device
    if runs_kernels(pixels) and fits:
        pixels_to_bytes_kernel(pixels, out)
        return out
    return pixels_to_bytes_twin(pixels, out)


def pixels_to_bytes_twin(pixels: Tensor, out: Tensor) -> Tensor:
    """What :func:`pixels_to_bytes` computes, in plain torch."""
    levels = pixels.detach().float().add(1).mul_(127.5).clamp_(0, 255).round_()
    return out.copy_(levels.permute(0, 2, 3, 4, 1))


@torch.library.custom_op("flashdreams::pixels_to_bytes_kernel", mutates_args=("out",))
def pixels_to_bytes_kernel(pixels: Tensor, out: Tensor) -> None:
    """Launch the kernel; arguments as in :func:`pixels_to_bytes`."""
    batch, colours, frames, height, width = pixels.shape
    with torch.cuda.device_of(pixels):
        _kernel()[(batch * frames * height, -(-width * colours // RUN))](
            pixels,
            out,
            *pixels.stride(),
            frames,
            height,
            width,
            COLOURS=colours,
            RUN=RUN,
            num_warps=RUN // 128,
        )


@pixels_to_bytes_kernel.register_fake
def _(*args: Any) -> None:
    return None


@cache
def _kernel() -> Any:
    """The kernel: a program for each run of bytes of a row of a frame."""
    import triton
    import triton.language as tl

    @triton.jit
    def pixels_to_bytes_runs(
        pixels, out, video_stride, colour_stride, frame_stride, row_stride, column_stride,
        frames, height, width, COLOURS: tl.constexpr, RUN: tl.constexpr,
    ):  # fmt: skip
        line = tl.program_id(0).to(tl.int64)
        row, frame, video = line % height, line // height % frames, line // height // frames
        at = tl.program_id(1) * RUN + tl.arange(0, RUN)
        inside = at < width * COLOURS
        source = pixels + video * video_stride + frame * frame_stride + row * row_stride
        source += (at % COLOURS).to(tl.int64) * colour_stride + (at // COLOURS).to(tl.int64) * column_stride
        levels = (tl.load(source, inside, 0.0).to(tl.float32) + 1) * 127.5
        levels = tl.minimum(tl.maximum(levels, 0.0), 255.0)
        # Beside 1.5 * 2 ** 23 a float32 has no room for fractions: adding it rounds halves to even.
        levels = (levels + 12582912.0) - 12582912.0
        tl.store(out + line * width * COLOURS + at, levels.to(tl.uint8), inside)

    return pixels_to_bytes_runs
