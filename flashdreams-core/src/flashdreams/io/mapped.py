"""Tensors mapped from a file, each for itself: once one is dropped, its pages leave memory."""

from __future__ import annotations

import mmap
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch
    from torch import Tensor


@dataclass(frozen=True)
class Place:
    """Where a contiguous tensor lies in a file."""

    offset: int
    """Bytes before it."""
    dtype: torch.dtype
    shape: tuple[int, ...]


def map_tensor(path: Path, place: Place) -> Tensor:
    """A tensor whose memory is the file, read when it is used. Writing to it does not change the file.

    Raises:
        OSError: The file cannot be read.
        ValueError: It ends before the tensor does.
    """
    import torch

    count = 1
    for size in place.shape:
        count *= size
    if count == 0:
        return torch.empty(place.shape, dtype=place.dtype)
    before = place.offset % mmap.ALLOCATIONGRANULARITY
    length = before + count * place.dtype.itemsize
    with path.open("rb") as file:
        mapping = mmap.mmap(file.fileno(), length, access=mmap.ACCESS_COPY, offset=place.offset - before)
    flat = torch.frombuffer(mapping, dtype=place.dtype, count=count, offset=before)
    return flat.view(place.shape)
