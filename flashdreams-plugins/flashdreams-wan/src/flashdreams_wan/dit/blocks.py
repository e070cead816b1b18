"""Blocks of the transformer, with the published names of their tensors.

A block reads the tokens of a chunk three times: attention over past and present, attention over the
prompt (and over the image, where the model looks at one), and a feed-forward layer. The first and the last
stand behind a modulated norm and a gate, whose six vectors are what all blocks are told of the timestep
plus an offset of the block's own (adaLN-single, Chen et al. 2023); the network adds it, for all at once.

Tokens are changed in place: at full size, fresh memory costs a CPU more than a gate or a sum itself does.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from flashdreams.core.attention import attention
from flashdreams.core.kernels.modulate import modulate
from flashdreams_wan.dit.on_card import fused_block
from flashdreams_wan.dit.precision import ExactParameters

Attend = Callable[[Tensor, Tensor, Tensor], Tensor]
"""(q, k, v), each ``[B, L, heads, head_dim]`` and not yet rotated, to what the queries read in a layer."""
KeysValues = tuple[Tensor, Tensor]
"""Keys and values of one layer, ``[B, L, heads, head_dim]`` each."""


class Projections(nn.Module):
    """Queries, keys, values and output of an attention layer; queries and keys are normed over all heads."""

    def __init__(self, width: int, heads: int, eps: float) -> None:
        super().__init__()
        self.heads = heads
        self.q = nn.Linear(width, width)
        self.k = nn.Linear(width, width)
        self.v = nn.Linear(width, width)
        self.o = nn.Linear(width, width)
        self.norm_q = nn.RMSNorm(width, eps=eps)
        self.norm_k = nn.RMSNorm(width, eps=eps)

    def queries(self, tokens: Tensor) -> Tensor:
        """Of tokens ``[B, L, width]``, ``[B, L, heads, head_dim]``."""
        return self._split(self.norm_q(self.q(tokens)))

    def keys_values(self, tokens: Tensor) -> KeysValues:
        """Of tokens ``[B, L, width]``."""
        return self._split(self.norm_k(self.k(tokens))), self._split(self.v(tokens))

    def raw(self, tokens: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values of tokens ``[B, L, width]``, not normed."""
        return self._split(self.q(tokens)), self._split(self.k(tokens)), self._split(self.v(tokens))

    def _split(self, x: Tensor) -> Tensor:
        return x.view(*x.shape[:2], self.heads, -1)


class ImageProjections(Projections):
    """Also keys and values of an image."""

    def __init__(self, width: int, heads: int, eps: float) -> None:
        super().__init__(width, heads, eps)
        self.k_img = nn.Linear(width, width)
        self.v_img = nn.Linear(width, width)
        self.norm_k_img = nn.RMSNorm(width, eps=eps)

    def image_keys_values(self, tokens: Tensor) -> KeysValues:
        """Of the image's tokens ``[B, L, width]``."""
        return self._split(self.norm_k_img(self.k_img(tokens))), self._split(self.v_img(tokens))


class FeedForward(nn.Sequential):
    """A linear layer, GELU by its tanh formula, and a linear layer."""

    def __init__(self, width: int, mlp_width: int) -> None:
        super().__init__(nn.Linear(width, mlp_width), nn.GELU("tanh"), nn.Linear(mlp_width, width))

    def forward(self, tokens: Tensor) -> Tensor:
        """Tokens ``[B, L, width]`` to the same shape."""
        grow, _, shrink = self
        hidden = grow(tokens)
        return shrink(F.gelu(hidden, approximate="tanh", out=hidden))  # type: ignore[call-arg]


class WanBlock(ExactParameters):
    """One block of the transformer."""

    def __init__(
        self, *, width: int, mlp_width: int, heads: int, eps: float, looks_at_image: bool, backend: str
    ) -> None:
        super().__init__()
        self.eps, self.backend = eps, backend
        self.self_attn = Projections(width, heads, eps)
        self.norm3 = nn.LayerNorm(width, eps=eps)
        self.cross_attn = (ImageProjections if looks_at_image else Projections)(width, heads, eps)
        self.ffn = FeedForward(width, mlp_width)
        self.modulation = nn.Parameter(torch.empty(1, 6, width, dtype=torch.float32))

    def forward(
        self,
        tokens: Tensor,
        told: Sequence[Tensor],
        text: KeysValues,
        image: KeysValues | None,
        attend: Attend,
    ) -> Tensor:
        """Tokens ``[B, L, width]``, which are overwritten, to the same shape.

        Args:
            tokens: Of the chunk.
            told: What the timestep says to this block: shift, gain and gate of attention, and of the
                feed-forward layer, float32 ``[width]`` each.
            text: Keys and values of the prompt.
            image: Keys and values of the image, where the model looks at one.
            attend: Attention over past and present.
        """
        if tokens.is_cuda:
            return fused_block(self, tokens, told, text, image, attend)
        shift1, gain1, gate1, shift2, gain2, gate2 = told
        here = modulated(tokens, shift1, gain1, self.eps)
        read = attend(self.self_attn.queries(here), *self.self_attn.keys_values(here))
        tokens.addcmul_(self.self_attn.o(read.flatten(2)), gate1)
        tokens.add_(self.look(self.norm3(tokens), text, image))
        tokens.addcmul_(self.ffn(modulated(tokens, shift2, gain2, self.eps)), gate2)
        return tokens

    def look(self, tokens: Tensor, text: KeysValues, image: KeysValues | None) -> Tensor:
        """What the tokens read in the prompt and in the image."""
        q = self.cross_attn.queries(tokens)
        read = attention(q, *text, backend=self.backend)
        if image is not None:
            read = read + attention(q, *image, backend=self.backend)
        return self.cross_attn.o(read.flatten(2))


class Head(ExactParameters):
    """Tokens to patches of flow."""

    def __init__(self, width: int, patch_channels: int, eps: float) -> None:
        super().__init__()
        self.eps = eps
        self.head = nn.Linear(width, patch_channels)
        self.modulation = nn.Parameter(torch.empty(1, 2, width, dtype=torch.float32))

    def forward(self, tokens: Tensor, time: Tensor) -> Tensor:
        """Tokens ``[B, L, width]`` at the embedded timestep, float32 ``[1, width]``."""
        shift, scale = (self.modulation + time).squeeze(0).unbind(0)
        return self.head(modulated(tokens, shift, 1 + scale, self.eps))


def modulated(tokens: Tensor, shift: Tensor, gain: Tensor, eps: float) -> Tensor:
    """Layer norm, multiplied by a gain (1 + scale) and shifted, in float32 or longer: ``[B, L, width]``.

    Gain and shift are vectors, so they are the norm's own weight and bias.
    """
    if tokens.device.type == "cpu":  # where the norm of a shorter dtype is computed in float32 anyway
        return F.layer_norm(tokens, shift.shape, gain, shift, eps)
    return modulate(tokens, shift, gain, eps=eps)
