"""Latents to tokens and back."""

from __future__ import annotations

from typing import Literal

from einops import rearrange
from torch import Tensor

from flashdreams.errors import FieldValueError

Size3 = tuple[int, int, int]
"""Time, height and width."""
Order = Literal["channels_first", "channels_last"]
"""How a token lists its patch: channel, time, height, width; or time, height, width, channel."""


_TOKEN = {"channels_first": "c i j k", "channels_last": "i j k c"}


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
    _, _, frames, height, width = latents.shape
    grid_size((frames, height, width), patch)
    return rearrange(latents, f"b c (t i) (h j) (w k) -> b (t h w) ({_TOKEN[order]})", **_sizes(patch))


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
    t, h, w = grid
    pattern = f"b (t h w) ({_TOKEN[order]}) -> b c (t i) (h j) (w k)"
    return rearrange(tokens, pattern, t=t, h=h, w=w, **_sizes(patch))


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


def _sizes(patch: Size3) -> dict[str, int]:
    return dict(zip("ijk", patch, strict=True))


def _rounded(size: Size3, patch: Size3) -> Size3:
    t, h, w = (-(-s // p) * p for s, p in zip(size, patch, strict=True))
    return t, h, w


def _by(size: Size3) -> str:
    return " x ".join(map(str, size))
