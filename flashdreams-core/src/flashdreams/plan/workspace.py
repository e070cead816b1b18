"""Memory that kernels take for themselves while they run, beside what they are given and return.

Measured with torch 2.13 on an x86-64 CPU with AVX-512 (most resident memory during one call, less the
result): oneDNN reorders what a convolution reads and writes into blocks of channels, summing in float32;
attention in half precision packs keys and values; products and float32 attention take nothing. What a GPU's
kernels take depends on its library; it is taken to be the same here.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

_CONVOLUTION = torch.ops.aten.convolution
_ATTENTION = torch.ops.flashdreams.fused_attention
_HALVES = (torch.bfloat16, torch.float16)
_CHANNELS_LAST = {4: torch.channels_last, 5: torch.channels_last_3d}


def workspace(packet: Any, args: tuple[Any, ...], result: Any) -> int:
    """Bytes that the kernel of an operation takes while it runs.

    Args:
        packet: The operation, such as ``torch.ops.aten.convolution``.
        args: Its positional arguments.
        result: What it returned.
    """
    if packet is _CONVOLUTION:
        return 0 if _reads_as_it_is(args[0], args[1]) else max(args[0].nbytes, 4 * result.numel())
    if packet is _ATTENTION and args[0].dtype in _HALVES:
        return int(args[1].nbytes + args[2].nbytes)
    return 0


def _reads_as_it_is(x: Tensor, weight: Tensor) -> bool:
    """Whether a convolution needs no reordering: channels last, or a float32 product at every place."""
    layout = _CHANNELS_LAST.get(x.dim())
    if layout is not None and x.is_contiguous(memory_format=layout) and not x.is_contiguous():
        return True
    return x.dtype == torch.float32 and weight[0, 0].numel() == 1
