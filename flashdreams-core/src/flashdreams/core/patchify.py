"""Latents to tokens and back."""

from __future__ import annotations

from typing import Literal

from torch import Tensor

from flashdreams.errors import FieldValueError

Size3 = tuple[int, int, int]
"""Time, height and width."""
Order = Literal["channels_first", "channels_last"]
"""How a token lists its patch: channel, time, height, width; or time, height, width, channel."""


def patchify(latents: Tensor, patch: Size3 = (1, 2, 2), order: Order = "channels_first") -> Tensor:
    """Cut latents into patches, one token each.

    Args:
        latents: ``[B, C, T, H, W]``.
        patch: Size of a patch.
        order: How a token lists its patch. "channels_first" is what a ``Conv3d`` of that kernel and stride
            reads, so its weight, flattened, is the weight of the linear layer that follows.

    Returns:
        Tokens ``[B, L, C * prod(patch)]`` in the order time, height, width.

    Raises:
        FieldValueError: The latents hold no whole patches.
    """
    batch, channels, *size = latents.shape
    t, h, w = grid_size((size[0], size[1], size[2]), patch)
    cut = latents.reshape(batch, channels, t, patch[0], h, patch[1], w, patch[2])
    if order == "channels_first":
        return cut.permute(0, 2, 4, 6, 1, 3, 5, 7).reshape(batch, t * h * w, -1)
    return cut.permute(0, 2, 4, 6, 3, 5, 7, 1).reshape(batch, t * h * w, -1)


def unpatchify(
    tokens: Tensor, grid: Size3, patch: Size3 = (1, 2, 2), order: Order = "channels_first"
) -> Tensor:
    """Put tokens back together.

    Args:
        tokens: ``[B, L, C * prod(patch)]`` in the order time, height, width.
        grid: Tokens in time, height and width; their product is L.
        patch: Size of a patch.
        order: How a token lists its patch; Wan's head writes "channels_last".

    Returns:
        Latents ``[B, C, T, H, W]``.
    """
    batch, (t, h, w), (pt, ph, pw) = tokens.shape[0], grid, patch
    if order == "channels_first":
        parts = tokens.reshape(batch, t, h, w, -1, pt, ph, pw).permute(0, 4, 1, 5, 2, 6, 3, 7)
    else:
        parts = tokens.reshape(batch, t, h, w, pt, ph, pw, -1).permute(0, 7, 1, 4, 2, 5, 3, 6)
    return parts.reshape(batch, -1, t * pt, h * ph, w * pw)


def grid_size(size: Size3, patch: Size3 = (1, 2, 2)) -> Size3:
    """Tokens in time, height and width of latents of ``size``.

    Raises:
        FieldValueError: The latents hold no whole patches.
    """
    if any(s % p for s, p in zip(size, patch, strict=True)):
        raise FieldValueError(
            f"Latents of {_by(size)} (time x height x width) were cut into patches of {_by(patch)}.",
            "Each side of the latents is a multiple of the patch's.",
            f"Choose height and width so that the latents are {_by(_rounded(size, patch))}, for instance.",
        )
    return size[0] // patch[0], size[1] // patch[1], size[2] // patch[2]


def _rounded(size: Size3, patch: Size3) -> Size3:
    t, h, w = (-(-s // p) * p for s, p in zip(size, patch, strict=True))
    return t, h, w


def _by(size: Size3) -> str:
    return " x ".join(map(str, size))
