"""Attention as one operation: what tensors without values go through.

On the meta device torch takes its attention apart into two products and a softmax, and the scores of every
query and key would seem to be held. No kernel that "auto" chooses holds them, so what is planned on meta
would say too much. This operation has the shapes, the memory and the FLOPs of a fused kernel.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.flop_counter import register_flop_formula


@torch.library.custom_op("flashdreams::fused_attention", mutates_args=())
def fused_attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Attention of queries ``[B, heads, Lq, d]`` over keys and values ``[B, heads, Lk, d]``."""
    return F.scaled_dot_product_attention(q, k, v).contiguous()


@fused_attention.register_fake
def _(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return torch.empty_like(q)


@register_flop_formula(torch.ops.flashdreams.fused_attention)
def attention_flops(
    q: tuple[int, ...], k: tuple[int, ...], v: tuple[int, ...], *args: Any, **kwargs: Any
) -> int:
    """FLOPs of two products: every query with every key, and the weights with the values.

    Args:
        q: Shape of the queries, ``(B, heads, Lq, d)``.
        k: Shape of the keys, ``(B, heads, Lk, d)``.
        v: Shape of the values, ``(B, heads, Lk, dv)``.
        *args: Whatever else the counter hands over.
        **kwargs: Likewise.
    """
    batch, heads, queries, width = q
    return 2 * batch * heads * queries * k[2] * (width + v[3])
