"""Frames in overlapping tiles, blended where they overlap.

Only what runs at high resolutions is tiled: the lowest one, where attention looks at whole frames, needs
little memory. The state is that of whole frames too. Each tile reads its part of it, and writes the part
that it owns, so tiles cost no state, and a tile's past is right up to its edges.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from flashdreams_wan.vae.past import Past
from flashdreams_wan.vae.spans import Span, spans


class TiledPast:
    """The past of whole frames while they run in tiles.

    Args:
        whole: It goes on behind what the tiles took and kept, once they are done.
        size: Height and width of the frames in latents.
    """

    def __init__(self, whole: Past, size: tuple[int, int]) -> None:
        self.whole = whole
        self._height, self._width = size
        self._first = len(whole.kept)
        self._late: list[tuple[Tensor, Tensor]] = []

    def read(self, index: int, row: Span, column: Span) -> Tensor:
        """What the convolution of this index looks back at in a tile."""
        frames = self.whole.before[index]
        scale = frames.shape[2] // self._height
        return frames[:, :, row.of(scale), column.of(scale)]

    def write(self, index: int, frames: Tensor, row: Span, column: Span) -> None:
        """Keep what a tile owns of its frames; where later tiles will still read, only in the end."""
        scale = frames.shape[2] // row.length
        kept = self._kept(index, frames, scale)
        (rows, late_rows), (columns, late_columns) = row.owned, column.owned
        all_columns = range(columns.start, late_columns.stop)
        for is_late, down, across in (
            (False, rows, columns),
            (True, rows, late_columns),
            (True, late_rows, all_columns),
        ):
            place = kept[:, :, _slice(down, scale), _slice(across, scale)]
            values = frames[:, :, _slice(down, scale, row.start), _slice(across, scale, column.start)]
            if is_late and self._is_in_place:
                self._late.append((place, values.clone()))
            else:
                place.copy_(values)

    def close(self) -> None:
        """Write what was left for the end, and move on in the past of whole frames."""
        for place, values in self._late:
            place.copy_(values)
        if not self.whole.is_first:
            for _ in range(len(self.whole.kept) - self._first):
                self.whole.before.popleft()

    @property
    def _is_in_place(self) -> bool:
        return self.whole.is_own and not self.whole.is_first

    def _kept(self, index: int, frames: Tensor, scale: int) -> Tensor:
        kept = self.whole.kept
        if len(kept) == self._first + index:
            batch, depth, _, _, channels = frames.shape
            size = (batch, depth, self._height * scale, self._width * scale, channels)
            kept.append(self.whole.before[index] if self._is_in_place else frames.new_empty(size))
        return kept[self._first + index]


class TilePast(Past):
    """A tile's part of the past of whole frames."""

    def __init__(self, tiled: TiledPast, row: Span, column: Span) -> None:
        super().__init__(None)
        self.is_first = tiled.whole.is_first
        self._tiled, self._row, self._column = tiled, row, column
        self._index = 0

    def keep(self, window: Tensor, depth: int = 2) -> None:
        """Remember what this tile owns of the last ``depth`` frames of a window."""
        self._tiled.write(self._index, window[:, -depth:], self._row, self._column)
        self._index += 1

    def _looked_back_at(self) -> Tensor:
        return self._tiled.read(self._index, self._row, self._column)


def in_tiles(
    run: Callable[[Tensor, Past], Tensor], frames: Tensor, past: Past, *, tile: int, scales: tuple[int, int]
) -> Tensor:
    """What ``run`` makes of ``frames``, tile by tile; where one tile covers all, just what ``run`` makes.

    Args:
        run: Called with the frames and the past of each tile.
        frames: ``[B, T, H, W, C]``.
        past: That of whole frames.
        tile: Largest side of a tile, in latents; 0 runs the whole.
        scales: How long a latent is in the frames, and in the result.

    Returns:
        ``[B, T', H', W', C']``.
    """
    before, after = scales
    height, width = size = (frames.shape[2] // before, frames.shape[3] // before)
    if tile == 0 or max(size) <= tile:
        return run(frames, past)
    result, tiled = frames.new_zeros(()), TiledPast(past, size)
    for row in spans(height, tile):
        for column in spans(width, tile):
            part = run(frames[:, :, row.of(before), column.of(before)], TilePast(tiled, row, column))
            if result.dim() == 0:
                shape = (*part.shape[:2], height * after, width * after, part.shape[-1])
                result = part.new_zeros(shape, dtype=torch.float32)
            down, across = (span.weight(after, part.device) for span in (row, column))
            result[:, :, row.of(after), column.of(after)] += part * (down[:, None, None] * across[:, None])
    tiled.close()
    return result.to(frames.dtype)


def _slice(latents: range, scale: int, origin: int = 0) -> slice:
    return slice((latents.start - origin) * scale, (latents.stop - origin) * scale)
