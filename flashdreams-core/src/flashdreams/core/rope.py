"""Rotary positions in three axes: time, height and width (Su et al. 2021; Wan 2025).

A head's channels are divided into pairs, and the pairs among the axes. A pair turns by
``position * theta ** (-2 i / n)``, where ``i`` counts the pairs of its axis and ``n`` the axis's channels.
Positions are integers that may grow without bound: angles are made in float64, so nothing is looked up in
a table and nothing is lost far from the beginning.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from flashdreams.errors import FieldValueError

Split = tuple[int, int, int]
"""Channels of one head that turn with time, height and width."""

_DIM_OF_PAIR = {"interleaved": -1, "halves": -2}


def wan_split(head_dim: int) -> Split:
    """Wan's division of a head: a sixth of the pairs each to height and width, the rest to time."""
    space = 2 * (head_dim // 6)
    return head_dim - 2 * space, space, space


def rope_angles(
    frames: Tensor,
    height: int,
    width: int,
    *,
    head_dim: int,
    split: Split | None = None,
    theta: float = 10000.0,
) -> tuple[Tensor, Tensor]:
    """Cosine and sine of every token's angles: once per forward pass, outside the blocks.

    Tokens are in the order time, height, width; the rows count from 0, and so do the columns.

    Args:
        frames: Positions of the latent frames, int64 ``[T]``; the result stays on their device and the
            host does not wait for them.
        height: Rows of tokens in a latent frame.
        width: Columns of tokens in a latent frame.
        head_dim: Channels of one head.
        split: Channels that turn with time, height and width, in this order; :func:`wan_split` where None.
            Channels left over do not turn.
        theta: Base of the frequencies.

    Returns:
        Cosine and sine, each float32 ``[T * height * width, head_dim / 2]``.

    Raises:
        FieldValueError: The split does not fit the head.
    """
    split = wan_split(head_dim) if split is None else split
    _check_split(split, head_dim)
    if frames.device.type == "mps":  # no float64 there, and no graphs that the wait could break
        cos, sin = rope_angles(frames.cpu(), height, width, head_dim=head_dim, split=split, theta=theta)
        return cos.to(frames.device), sin.to(frames.device)
    rows, columns = (torch.arange(size, device=frames.device) for size in (height, width))
    grid = (frames.shape[0], height, width)
    axes = zip((frames, rows, columns), split, strict=True)
    time, down, across = (_turns(positions, channels, theta) for positions, channels in axes)
    parts = [
        torch.unflatten(time, 0, (-1, 1, 1)).expand(*grid, -1),
        torch.unflatten(down, 0, (1, -1, 1)).expand(*grid, -1),
        torch.unflatten(across, 0, (1, 1, -1)).expand(*grid, -1),
    ]
    left_over = (head_dim - sum(split)) // 2
    if left_over:
        parts.append(time.new_zeros(*grid, left_over))
    angles = torch.cat(parts, dim=-1).flatten(0, 2)
    return angles.cos().float(), angles.sin().float()


def apply_rope(
    x: Tensor, cos: Tensor, sin: Tensor, pairs: Literal["interleaved", "halves"] = "interleaved"
) -> Tensor:
    """Turn every pair of channels by its token's angle, in float32.

    Args:
        x: Queries or keys, ``[B, L, heads, head_dim]``.
        cos: Cosines, ``[L, head_dim / 2]``.
        sin: Sines, like ``cos``.
        pairs: Pair ``i`` is channels ``2 i`` and ``2 i + 1`` ("interleaved"), or ``i`` and
            ``i + head_dim / 2`` ("halves").

    Returns:
        Turned queries or keys, in the shape and dtype of ``x``.
    """
    dim = _DIM_OF_PAIR[pairs]
    a, b = torch.unflatten(x, -1, (-1, 2) if dim == -1 else (2, -1)).unbind(dim)
    cos, sin = cos.unsqueeze(-2), sin.unsqueeze(-2)
    return torch.stack((a * cos - b * sin, a * sin + b * cos), dim).flatten(-2).to(x.dtype)


def _turns(positions: Tensor, channels: int, theta: float) -> Tensor:
    """Angles of one axis, float64 ``[positions, channels / 2]``."""
    pair = torch.arange(0, channels, 2, device=positions.device, dtype=torch.float64)
    return positions.double().unsqueeze(-1) * theta ** (pair / -max(channels, 1))


def _check_split(split: Split, head_dim: int) -> None:
    if head_dim % 2 or any(part % 2 or part < 0 for part in split) or sum(split) > head_dim:
        raise FieldValueError(
            f"A head of {head_dim} channels was split into {', '.join(map(str, split))} for rotation.",
            "Channels turn in pairs: each part is even, and they fit in the head together.",
            f"Take {wan_split(head_dim - head_dim % 2)}, for instance.",
        )
