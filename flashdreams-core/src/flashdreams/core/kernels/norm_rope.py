"""RMS norm, rotation and the write into the KV ring, in one pass over a chunk's queries, keys and values.

Apart, each of these reads and writes the same memory again. Here every value is read once and written once,
and what happens between is float32, rounded once at the end. Neighbouring channels turn together, as in
Wan's models.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from flashdreams.core.kernels.launching import block, rows_are_whole, runs_kernels, warps

Chunk = tuple[Tensor, Tensor, Tensor]
"""Queries, keys and values of a chunk, ``[B, L, heads, head_dim]`` each, neither normed nor turned."""
WIDEST = 8192
"""Channels of all heads that a program keeps in registers without spilling."""


def norm_rope(x: Tensor, turns: Tensor, weight: Tensor | None = None, eps: float = 1e-6) -> Tensor:
    """RMS norm of queries or keys, then the rotation of every pair of channels by its token's angle.

    Args:
        x: ``[B, L, heads, head_dim]``.
        turns: Rotations of each token, unit complex numbers, complex64 ``[L, head_dim / 2]``.
        weight: Gain of the norm: ``[heads * head_dim]`` for a norm over all heads, as Wan's, ``[head_dim]``
            for one over each head; None for no norm.
        eps: Added to the mean square.

    Returns:
        In the shape and dtype of ``x``, contiguous.
    """
    if not _fits(x, turns, weight):
        return norm_rope_twin(x, turns, weight, eps)
    out = torch.empty(x.shape, dtype=x.dtype, device=x.device)
    norm_rope_kernel(x, out, turns, weight, eps)
    return out


def norm_rope_write(
    qkv: Chunk,
    keys: Tensor,
    values: Tensor,
    write_index: Tensor,
    turns: Tensor,
    weights: tuple[Tensor, Tensor] | None = None,
    eps: float = 1e-6,
    turns_keys: bool = True,
) -> Tensor:
    """Norm and turn a chunk's queries and keys, and write its keys and values where the ring wants them.

    Args:
        qkv: Of the chunk.
        keys: Keys of a layer, ``[B, places, heads, head_dim]``; overwritten at ``write_index``.
        values: Values of the layer, like ``keys``.
        write_index: Places of the chunk's tokens, int64 ``[L]`` on the device, each of them once.
        turns: Rotations of each token, unit complex numbers, complex64 ``[L, head_dim / 2]``.
        weights: Gains of the norms of queries and keys, as in :func:`norm_rope`; None for no norm.
        eps: Added to the mean squares.
        turns_keys: Whether keys are stored turned; if not, they are only normed.

    Returns:
        The queries, normed and turned, in their shape and dtype, contiguous.
    """
    if not _fits_ring(qkv, keys, values, turns, weights):
        return norm_rope_write_twin(qkv, keys, values, write_index, turns, weights, eps, turns_keys)
    q, k, v = qkv
    out = torch.empty(q.shape, dtype=q.dtype, device=q.device)
    gains = (None, None) if weights is None else weights
    norm_rope_write_kernel(q, k, v, out, keys, values, write_index, turns, *gains, eps, turns_keys)
    return out


def norm_rope_twin(x: Tensor, turns: Tensor, weight: Tensor | None, eps: float) -> Tensor:
    """What :func:`norm_rope` computes, in plain torch."""
    pairs = torch.view_as_complex(torch.unflatten(_normed(x, weight, eps), -1, (-1, 2)))
    return torch.view_as_real(pairs * turns.unsqueeze(-2)).flatten(-2).to(x.dtype)


def norm_rope_write_twin(
    qkv: Chunk,
    keys: Tensor,
    values: Tensor,
    write_index: Tensor,
    turns: Tensor,
    weights: tuple[Tensor, Tensor] | None,
    eps: float,
    turns_keys: bool,
) -> Tensor:
    """What :func:`norm_rope_write` computes, in plain torch."""
    q, k, v = qkv
    norm_q, norm_k = (None, None) if weights is None else weights
    new_keys = norm_rope_twin(k, turns, norm_k, eps) if turns_keys else _normed(k, norm_k, eps)
    keys.index_copy_(1, write_index, new_keys.to(keys.dtype))
    values.index_copy_(1, write_index, v.to(values.dtype))
    return norm_rope_twin(q, turns, norm_q, eps)


@torch.library.custom_op("flashdreams::norm_rope_kernel", mutates_args=("out",))
def norm_rope_kernel(x: Tensor, out: Tensor, turns: Tensor, gain: Tensor | None, eps: float) -> None:
    """Launch the kernel on one tensor; arguments as in :func:`norm_rope`, ``out`` contiguous."""
    _launch((x, x, x), (out, out, out), None, turns, (gain, gain), eps, True)


@torch.library.custom_op("flashdreams::norm_rope_write_kernel", mutates_args=("out", "keys", "values"))
def norm_rope_write_kernel(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    out: Tensor,
    keys: Tensor,
    values: Tensor,
    write_index: Tensor,
    turns: Tensor,
    norm_q: Tensor | None,
    norm_k: Tensor | None,
    eps: float,
    turns_keys: bool,
) -> None:
    """Launch the kernel on a chunk; arguments as in :func:`norm_rope_write`, ``out`` contiguous."""
    _launch((q, k, v), (out, keys, values), write_index, turns, (norm_q, norm_k), eps, turns_keys)


@norm_rope_kernel.register_fake
@norm_rope_write_kernel.register_fake
def _(*args: Any) -> None:
    return None


def _launch(
    sources: Chunk,
    targets: tuple[Tensor, Tensor, Tensor],
    write_index: Tensor | None,
    turns: Tensor,
    gains: tuple[Tensor | None, Tensor | None],
    eps: float,
    turns_keys: bool,
) -> None:
    batch, length, heads, head_dim = sources[0].shape
    widths = {None: None, head_dim: "head", heads * head_dim: "all"}
    rows, columns = block(heads), block(head_dim)
    angles = torch.view_as_real(turns)
    with torch.cuda.device_of(sources[0]):
        _kernel()[(batch * length, 1 if write_index is None else 3)](
            *sources,
            *targets,
            *gains,
            angles,
            write_index,
            *(stride for t in (*sources, targets[1]) for stride in t.stride()[:2]),
            angles.stride(0),
            length,
            eps,
            HEADS=heads,
            CHANNELS=head_dim,
            ROWS=rows,
            COLUMNS=columns,
            NORM=widths[None if gains[0] is None else gains[0].numel()],
            TURNS_KEYS=turns_keys,
            num_warps=warps(rows * columns),
        )


def _normed(x: Tensor, weight: Tensor | None, eps: float) -> Tensor:
    """RMS norm over all heads, over each, or none, in float32 (or longer)."""
    exact = x.to(torch.promote_types(x.dtype, torch.float32))
    if weight is None:
        return exact
    rows = exact if weight.numel() == x.shape[-1] else exact.flatten(2)
    return F.rms_norm(rows, weight.shape, weight.to(exact.dtype), eps).view(x.shape)


def _fits(x: Tensor, turns: Tensor, weight: Tensor | None) -> bool:
    """Whether the kernel can read these."""
    if not runs_kernels(x, *(() if weight is None else (weight,))):
        return False
    turns_fit = turns.dtype == torch.complex64 and turns.stride(1) == 1
    turns_fit = turns_fit and turns.shape == (x.shape[1], x.shape[3] // 2)  # or it would read beyond them
    gain_fits = weight is None or weight.is_contiguous()
    return turns_fit and gain_fits and rows_are_whole(x, 2) and x.shape[2] * x.shape[3] <= WIDEST


def _fits_ring(
    qkv: Chunk, keys: Tensor, values: Tensor, turns: Tensor, weights: tuple[Tensor, Tensor] | None
) -> bool:
    """Whether the kernel can read and write these."""
    q, k, v = qkv
    norm_q, norm_k = (None, None) if weights is None else weights
    if not (_fits(q, turns, norm_q) and _fits(k, turns, norm_k) and runs_kernels(v, keys, values)):
        return False
    same = len({t.dtype for t in (*qkv, keys, values)}) == 1 and keys.stride() == values.stride()
    gains_fit = norm_q is None or norm_k is None or norm_q.dtype == norm_k.dtype
    return same and gains_fit and all(rows_are_whole(t, 2) for t in (v, keys, values))


@cache
def _kernel() -> Any:
    """The kernel: a program for each token and each of q, k and v."""
    import triton
    import triton.language as tl

    @triton.jit
    def norm_rope_rows(
        q, k, v, out, keys, values, norm_q, norm_k, turns, write_index,
        q_video, q_token, k_video, k_token, v_video, v_token, ring_video, ring_token, turn_token,
        length, eps,
        HEADS: tl.constexpr, CHANNELS: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr,
        NORM: tl.constexpr, TURNS_KEYS: tl.constexpr,
    ):  # fmt: skip
        row = tl.program_id(0)
        role = tl.program_id(1)
        video, token = (row // length).to(tl.int64), (row % length).to(tl.int64)
        source = q + video * q_video + token * q_token
        target = out + (video * length + token) * HEADS * CHANNELS
        gain = norm_q
        if write_index is not None:
            place = video * ring_video + tl.load(write_index + token) * ring_token
            if role == 1:
                source = k + video * k_video + token * k_token
                target = keys + place
                gain = norm_k
            elif role == 2:
                source = v + video * v_video + token * v_token
                target = values + place

        head = tl.arange(0, ROWS)[:, None]
        channel = tl.arange(0, COLUMNS)[None, :]
        inside = (head < HEADS) & (channel < CHANNELS)
        x = tl.load(source + head * CHANNELS + channel, inside, 0.0).to(tl.float32)
        if role < 2:
            if NORM == "all":
                squares = tl.sum(tl.sum(x * x, 1, keep_dims=True), 0, keep_dims=True)
                gains = tl.load(gain + head * CHANNELS + channel, inside, 0.0).to(tl.float32)
                x = x * tl.rsqrt(squares / (HEADS * CHANNELS) + eps) * gains
            elif NORM == "head":
                squares = tl.sum(x * x, 1, keep_dims=True)
                gains = tl.load(gain + channel, channel < CHANNELS, 0.0).to(tl.float32)
                x = x * tl.rsqrt(squares / CHANNELS + eps) * gains
            if TURNS_KEYS or role == 0:
                angles = tl.load(turns + token * turn_token + channel, channel < CHANNELS, 0.0)
                # Split in registers: pairs loaded apart would cost a load for every channel.
                c, s = tl.split(tl.reshape(angles, (1, COLUMNS // 2, 2)))
                a, b = tl.split(tl.reshape(x, (ROWS, COLUMNS // 2, 2)))
                x = tl.reshape(tl.join(a * c - b * s, a * s + b * c), (ROWS, COLUMNS))
        tl.store(target + head * CHANNELS + channel, x.to(target.dtype.element_ty), inside)

    return norm_rope_rows
