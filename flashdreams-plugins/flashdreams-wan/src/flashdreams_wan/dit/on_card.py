"""A block of the transformer on a GPU: what happens between its matrix products and its attention is kernels.

It computes what ``WanBlock.forward`` does. Norm, rotation and the write into the cache are one kernel; so is
each gated sum with the norm that follows it. Values are rounded less often on their way, so the two differ by
the rounding of the dtype.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from torch import Tensor

from flashdreams.core.attention import attention
from flashdreams.core.kernels.modulate import add_modulate_, gated_add_, modulate
from flashdreams.core.kernels.norm_rope import Chunk, norm_rope, norm_rope_write
from flashdreams_wan.dit.attend import OverCache, WithinChunk

if TYPE_CHECKING:
    from flashdreams_wan.dit.blocks import KeysValues, Projections, WanBlock


def fused_block(
    block: WanBlock,
    tokens: Tensor,
    told: Sequence[Tensor],
    text: KeysValues,
    image: KeysValues | None,
    attend: Callable[..., Tensor],
) -> Tensor:
    """Tokens ``[B, L, width]``, which are overwritten, to the same shape; arguments as of ``WanBlock``."""
    shift1, gain1, gate1, shift2, gain2, gate2 = told
    here = modulate(tokens, shift1, gain1, eps=block.eps)
    read = block.self_attn.o(_attend(block.self_attn, here, attend, block.eps).flatten(2))
    norm3 = block.norm3
    here = add_modulate_(tokens, read, gate1, norm3.bias, norm3.weight, eps=block.eps)
    here = add_modulate_(tokens, block.look(here, text, image), None, shift2, gain2, eps=block.eps)
    return gated_add_(tokens, block.ffn(here), gate2)


def _attend(projections: Projections, tokens: Tensor, attend: Callable[..., Tensor], eps: float) -> Tensor:
    """What the tokens read, ``[B, L, heads, head_dim]``."""
    gains = (projections.norm_q.weight, projections.norm_k.weight)
    if isinstance(attend, OverCache) and attend.places is None and attend.layer.key_scales is None:
        return _over_cache(attend, projections.raw(tokens), gains, eps)
    if isinstance(attend, WithinChunk):
        q, k, v = projections.raw(tokens)
        turns = attend.turns.squeeze(1)
        q, k = (norm_rope(x, turns, gain, eps) for x, gain in zip((q, k), gains, strict=True))
        return attention(q, k, v, backend=attend.backend)
    return attend(projections.queries(tokens), *projections.keys_values(tokens))


def _over_cache(attend: OverCache, qkv: Chunk, gains: tuple[Tensor, Tensor], eps: float) -> Tensor:
    """What the queries read in the cache, the chunk written first."""
    layer, key_turns = attend.layer, attend.key_turns
    places, turns = layer.past.write_index, attend.turns.squeeze(1)
    q = norm_rope_write(qkv, layer.keys, layer.values, places, turns, gains, eps, key_turns is None)
    if key_turns is None:
        return layer.look(q, backend=attend.backend)
    every = key_turns.squeeze(1)

    def turn(keys: Tensor) -> Tensor:
        return norm_rope(keys, every.narrow(0, 0, keys.shape[1]))

    return layer.look(q, backend=attend.backend, turn=turn)
