"""Where overlapping tiles lie along one axis, in latents."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

OVERLAP = 4
"""Neighbours share the side of a tile divided by this."""


@dataclass(frozen=True)
class Span:
    """A tile's place along one axis."""

    start: int
    stop: int
    fade_in: int
    """Latents shared with the tile before; 0 for the first one."""
    fade_out: int
    """Latents shared with the tile after; 0 for the last one."""

    @property
    def length(self) -> int:
        """Latents of the tile."""
        return self.stop - self.start

    @property
    def owned(self) -> tuple[range, range]:
        """Where this tile is the one that counts: half of each overlap is left to its neighbour.

        Two parts: what no later tile covers, and what the next one covers too.
        """
        shared = self.stop - self.fade_out
        return (
            range(self.start + self.fade_in // 2, shared),
            range(shared, shared + self.fade_out // 2),
        )

    def of(self, scale: int) -> slice:
        """The place where a latent is ``scale`` long."""
        return slice(self.start * scale, self.stop * scale)

    def weight(self, scale: int, device: torch.device) -> Tensor:
        """How much this tile counts at each place: 1, but in an overlap from 0 to 1, or the rest to that."""
        weight = torch.ones(self.length * scale, device=device)
        if self.fade_in:
            weight[: self.fade_in * scale] = _rising(self.fade_in * scale, device)
        if self.fade_out:
            weight[-self.fade_out * scale :] = 1 - _rising(self.fade_out * scale, device)
        return weight


def spans(size: int, tile: int) -> list[Span]:
    """Places of the fewest tiles that cover an axis, about equal and none above ``tile``."""
    overlap = max(tile // OVERLAP, 1)
    count = max(-(-(size - overlap) // (tile - overlap)), 1)
    covered = size + (count - 1) * overlap  # what is shared counts twice
    cuts = [index * covered // count for index in range(count + 1)]
    return [
        Span(
            start=cuts[index] - index * overlap,
            stop=cuts[index + 1] - index * overlap,
            fade_in=overlap if index else 0,
            fade_out=overlap if index + 1 < count else 0,
        )
        for index in range(count)
    ]


def _rising(length: int, device: torch.device) -> Tensor:
    return (torch.arange(length, device=device) + 0.5) / length
