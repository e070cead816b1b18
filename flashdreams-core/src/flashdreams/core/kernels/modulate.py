"""The modulated norm of a transformer's blocks (adaLN), with the gated sum that comes before it.

A block ends each part with ``tokens += gate * update``, and begins the next one with
``norm(tokens) * (1 + scale) + shift``. Between the two the tokens need not leave the card's registers: they
are read once and written once. Norm and modulation are float32, rounded once at the end.
"""

from __future__ import annotations

from functools import cache
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from flashdreams.core.kernels.launching import block, rows_are_whole, runs_kernels, warps

Norm = Literal["layer", "rms"]
WIDEST = 8192
"""Channels of a token that a program keeps in registers without spilling."""


def modulate(x: Tensor, shift: Tensor, gain: Tensor, *, eps: float, norm: Norm = "layer") -> Tensor:
    """The norm of every token, multiplied by a gain and shifted.

    Args:
        x: Tokens, ``[B, L, width]``.
        shift: ``[width]`` for all tokens, or whatever broadcasts to ``x``: ``[B, 1, width]`` for a vector of
            each video, ``[B, L, width]`` for one of each token.
        gain: Like ``shift``; 1 and the scale where the modulation is given as a scale.
        eps: Added to the variance, or to the mean square.
        norm: Layer norm, or RMS norm; without gain and bias of its own.

    Returns:
        In the shape and dtype of ``x``.
    """
    if not _fits(x, shift, gain):
        return modulate_twin(x, shift, gain, eps, norm)
    out = torch.empty(x.shape, dtype=x.dtype, device=x.device)
    modulate_kernel(x, out, shift.expand_as(x), gain.expand_as(x), eps, norm)
    return out


def add_modulate_(
    x: Tensor,
    update: Tensor,
    gate: Tensor | None,
    shift: Tensor,
    gain: Tensor,
    *,
    eps: float,
    norm: Norm = "layer",
) -> Tensor:
    """Add ``gate * update`` to the tokens in place, and return their norm, multiplied and shifted.

    The norm is taken of the sum as it is stored, rounded to the dtype of ``x``.

    Args:
        x: Tokens, ``[B, L, width]``, overwritten.
        update: What is added, like ``x``.
        gate: What it is multiplied with, like ``shift``; None for 1.
        shift: As in :func:`modulate`.
        gain: As in :func:`modulate`.
        eps: Added to the variance, or to the mean square.
        norm: Layer norm, or RMS norm.

    Returns:
        The modulated tokens, in the shape and dtype of ``x``.
    """
    if not _fits(x, shift, gain, update, *(() if gate is None else (gate,))):
        return add_modulate_twin_(x, update, gate, shift, gain, eps, norm)
    out = torch.empty(x.shape, dtype=x.dtype, device=x.device)
    shift, gain = shift.expand_as(x), gain.expand_as(x)
    add_modulate_kernel(x, out, update, None if gate is None else gate.expand_as(x), shift, gain, eps, norm)
    return out


def gated_add_(x: Tensor, update: Tensor, gate: Tensor) -> Tensor:
    """Add ``gate * update`` to the tokens in place, in float32, and return them.

    Args:
        x: Tokens, ``[B, L, width]``, overwritten.
        update: What is added, like ``x``.
        gate: ``[width]``, or whatever broadcasts to ``x``.
    """
    if not _fits(x, gate, gate, update):
        return gated_add_twin_(x, update, gate)
    gated_add_kernel(x, update, gate.expand_as(x))
    return x


def modulate_twin(x: Tensor, shift: Tensor, gain: Tensor, eps: float, norm: Norm) -> Tensor:
    """What :func:`modulate` computes, in plain torch."""
    exact = x.to(torch.promote_types(x.dtype, torch.float32))
    if norm == "layer" and shift.dim() == gain.dim() == 1:
        # Vectors for all tokens are the norm's own weight and bias.
        vectors = (gain.to(exact.dtype), shift.to(exact.dtype))
        return F.layer_norm(exact, shift.shape, *vectors, eps).to(x.dtype)
    width = x.shape[-1:]
    normed = F.layer_norm(exact, width, eps=eps) if norm == "layer" else F.rms_norm(exact, width, eps=eps)
    return (normed * gain + shift).to(x.dtype)


def add_modulate_twin_(
    x: Tensor, update: Tensor, gate: Tensor | None, shift: Tensor, gain: Tensor, eps: float, norm: Norm
) -> Tensor:
    """What :func:`add_modulate_` computes, in plain torch."""
    if gate is None:
        x.add_(update)
    else:
        gated_add_twin_(x, update, gate)
    return modulate_twin(x, shift, gain, eps, norm)


def gated_add_twin_(x: Tensor, update: Tensor, gate: Tensor) -> Tensor:
    """What :func:`gated_add_` computes, in plain torch."""
    return x.addcmul_(update, gate)


@torch.library.custom_op("flashdreams::modulate_kernel", mutates_args=("out",))
def modulate_kernel(x: Tensor, out: Tensor, shift: Tensor, gain: Tensor, eps: float, norm: str) -> None:
    """Launch the kernel of :func:`modulate`; shift and gain in the shape of ``x``, ``out`` contiguous."""
    _launch(x, out, None, None, shift, gain, eps, norm)


@torch.library.custom_op("flashdreams::add_modulate_kernel", mutates_args=("x", "out"))
def add_modulate_kernel(
    x: Tensor,
    out: Tensor,
    update: Tensor,
    gate: Tensor | None,
    shift: Tensor,
    gain: Tensor,
    eps: float,
    norm: str,
) -> None:
    """Launch the kernel of :func:`add_modulate_`; gate, shift and gain in the shape of ``x``."""
    _launch(x, out, update, gate, shift, gain, eps, norm)


@torch.library.custom_op("flashdreams::gated_add_kernel", mutates_args=("x",))
def gated_add_kernel(x: Tensor, update: Tensor, gate: Tensor) -> None:
    """Launch the kernel of :func:`gated_add_`; the gate in the shape of ``x``."""
    _launch(x, None, update, gate, None, None, 0.0, None)


@modulate_kernel.register_fake
def _(*args: Any) -> None:
    return None


@add_modulate_kernel.register_fake
def _(*args: Any) -> None:
    return None


@gated_add_kernel.register_fake
def _(*args: Any) -> None:
    return None


def _launch(
    x: Tensor,
    out: Tensor | None,
    update: Tensor | None,
    gate: Tensor | None,
    shift: Tensor | None,
    gain: Tensor | None,
    eps: float,
    norm: str | None,
) -> None:
    batch, length, width = x.shape
    strides = [(0, 0) if t is None else t.stride()[:2] for t in (x, update, gate, shift, gain)]
    with torch.cuda.device_of(x):
        _kernel()[(batch * length,)](
            x,
            out,
            update,
            gate,
            shift,
            gain,
            *(stride for pair in strides for stride in pair),
            length,
            eps,
            WIDTH=width,
            BLOCK=block(width),
            NORM=norm,
            num_warps=warps(block(width)),
        )


def _fits(x: Tensor, shift: Tensor, gain: Tensor, *more: Tensor) -> bool:
    """Whether the kernel can read these."""
    tensors = (x, shift, gain, *more)
    if not runs_kernels(*tensors) or x.dim() != 3 or x.shape[-1] > WIDEST:
        return False
    return all(rows_are_whole(t, 1) and t.shape[-1] == x.shape[-1] for t in tensors)


@cache
def _kernel() -> Any:
    """The kernel: a program for each token."""
    import triton
    import triton.language as tl

    @triton.jit
    def modulate_rows(
        x, out, update, gate, shift, gain,
        x_video, x_token, update_video, update_token, gate_video, gate_token,
        shift_video, shift_token, gain_video, gain_token, length, eps,
        WIDTH: tl.constexpr, BLOCK: tl.constexpr, NORM: tl.constexpr,
    ):  # fmt: skip
        row = tl.program_id(0)
        video, token = (row // length).to(tl.int64), (row % length).to(tl.int64)
        at = tl.arange(0, BLOCK)
        inside = at < WIDTH
        tokens = x + video * x_video + token * x_token + at
        values = tl.load(tokens, inside, 0.0).to(tl.float32)
        if update is not None:
            added = update + video * update_video + token * update_token + at
            more = tl.load(added, inside, 0.0).to(tl.float32)
            if gate is not None:
                gates = gate + video * gate_video + token * gate_token + at
                more = more * tl.load(gates, inside, 0.0).to(tl.float32)
            stored = (values + more).to(x.dtype.element_ty)
            tl.store(tokens, stored, inside)
            values = stored.to(tl.float32)
        if NORM is not None:
            if NORM == "layer":
                values = tl.where(inside, values - tl.sum(values, 0) / WIDTH, 0.0)
            normed = values * tl.rsqrt(tl.sum(values * values, 0) / WIDTH + eps)
            gains = tl.load(gain + video * gain_video + token * gain_token + at, inside, 0.0)
            shifts = tl.load(shift + video * shift_video + token * shift_token + at, inside, 0.0)
            result = normed * gains.to(tl.float32) + shifts.to(tl.float32)
            to = out + row.to(tl.int64) * WIDTH + at
            tl.store(to, result.to(out.dtype.element_ty), inside)

    return modulate_rows
