"""Numbers kept in 8 bits, with a scale for each row: float8 with 4 bits of exponent and 3 of mantissa.

A row is scaled so that its largest value is the largest of the format, 448. Values down to 1/28672 of it keep
a relative error of at most 1/16, and smaller ones fade away (Micikevicius et al. 2022, "FP8 formats for deep
learning").
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from flashdreams.core.kernels.quantise_rows import FLOAT8_MAX

CacheDtype = Literal["model", "float8_e4m3fn"]
"""What keys and values are kept in: the model's dtype, or 8 bits and a scale for each token and head."""


def compacted(x: Tensor) -> tuple[Tensor, Tensor]:
    """Keep each row in 8 bits.

    Args:
        x: Floating point, ``[..., width]``.

    Returns:
        Bytes of float8_e4m3fn, uint8 ``[..., width]``, since few operators take float8 itself; and what they
        are multiplied by, ``[..., 1]`` in the dtype of ``x``.
    """
    largest = x.abs().amax(dim=-1, keepdim=True)
    scale = (largest / FLOAT8_MAX).clamp_min(torch.finfo(x.dtype).tiny)
    return (x / scale).to(torch.float8_e4m3fn).view(torch.uint8), scale


def restored(stored: Tensor, scale: Tensor) -> Tensor:
    """The inverse of :func:`compacted`, in the dtype of ``scale``."""
    return stored.view(torch.float8_e4m3fn).to(scale.dtype).mul_(scale)
