"""When a kernel runs, and when its twin does; the shapes of blocks.

Triton launches on the current card, so every launch stands in ``torch.cuda.device_of`` of what it writes.
"""

from __future__ import annotations

from importlib.util import find_spec

import torch
from torch import Tensor

HAS_TRITON = find_spec("triton") is not None
Capability = tuple[int, int]
"""Compute capability of a card; H100's is (9, 0)."""
OLDEST: Capability = (8, 0)
"""The oldest that kernels are compiled for: bfloat16 began there."""
FLOAT8: Capability = (8, 9)
"""The oldest on which Triton knows float8_e4m3fn."""
NEWEST: Capability = (99, 0)
DTYPES = (torch.float32, torch.bfloat16, torch.float16)
"""What the kernels read and write; sums, norms and rotations are float32 in all of them."""


def runs_kernels(*tensors: Tensor, since: Capability = OLDEST) -> bool:
    """Whether kernels can take these tensors: on a card that Triton compiles for, and without gradients.

    On a CPU the answer costs one look at the first tensor.

    Args:
        *tensors: What a kernel reads or writes, of the dtypes that all of them take.
        since: Compute capability of the oldest card that has what the kernel needs.
    """
    first = tensors[0]
    if not first.is_cuda or _card(first.device) < since:
        return False
    if any(t.dtype not in DTYPES or t.device != first.device for t in tensors):
        return False
    return not (torch.is_grad_enabled() and any(t.requires_grad for t in tensors))


def rows_are_whole(x: Tensor, dims: int) -> bool:
    """Whether the last ``dims`` dimensions lie in memory as one row, without gaps."""
    expected = 1
    for dim in range(-1, -dims - 1, -1):
        if x.shape[dim] != 1 and x.stride(dim) != expected:
            return False
        expected *= x.shape[dim]
    return True


def block(size: int) -> int:
    """The smallest power of two that holds ``size``: Triton's blocks have no other sizes."""
    return 1 << max(size - 1, 0).bit_length()


def warps(elements: int) -> int:
    """Warps of a program with so many elements in registers: 8 elements to a thread, and 1 to 8 warps."""
    return min(max(elements // 256, 1), 8)


def _card(device: torch.device) -> Capability:
    """Compute capability of a card; (0, 0) without Triton. Shapes without a card count as a new one."""
    if device not in _cards:
        _cards[device] = _capability(device) if HAS_TRITON else (0, 0)
    return _cards[device]


def _capability(device: torch.device) -> Capability:
    if not torch.cuda.is_available():
        return NEWEST
    # Unlike torch.cuda.get_device_capability, this is a constant to torch.compile.
    card = torch.cuda.get_device_properties(device)
    return card.major, card.minor


_cards: dict[torch.device, Capability] = {}
