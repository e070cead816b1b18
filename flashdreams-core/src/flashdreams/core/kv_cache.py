"""KV cache: a pinned sink and a ring of chunks, at fixed addresses.

Keys and values of every layer are allocated once. A chunk is written in place at a device index that
depends on its number alone, so all denoising steps of a chunk, and a retry, overwrite the same place;
nothing is rolled or copied, and a captured graph finds every tensor where it was.

::

    place   0 .. sink - 1       sink .. window - 1
    holds   first latent frames ring: the most recent ones, current chunk included

What attention may see is always the prefix ``[0, filled)``. In the ring that prefix is not in the order
of time; attention does not mind (its sums run in another order, which costs about 3e-7 in float32).
The slow twin is :class:`flashdreams.core.kv_cache_naive.NaiveKVCache`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor

from flashdreams.core.attention import takes_lengths
from flashdreams.core.compact import CacheDtype
from flashdreams.core.layer_cache import LayerCache
from flashdreams.core.window import check_cache_dtype, check_rope_positions, check_window
from flashdreams.errors import OutOfOrderError, RolloutError, SnapshotError

RopePositions = Literal["absolute", "window"]


class KVCache:
    """Keys and values of the latent frames that attention sees.

    Sizes are in latent frames, each of ``frame_tokens`` tokens. Call :meth:`begin_chunk` on the host
    before the forward passes of a chunk, and ``layers[i].attend`` in each attention layer.

    Args:
        layers: Attention layers.
        batch_size: Videos side by side, B.
        heads: Attention heads.
        head_dim: Channels of one head.
        frame_tokens: Tokens of one latent frame.
        window: Latent frames that attention sees, sink and current chunk included.
        sink: First latent frames, never forgotten.
        chunk: Latent frames of one chunk.
        dtype: Type of keys and values.
        device: Where they live.
        rope_positions: What positions count: "absolute" from the beginning of the rollout, for keys that
            are rotated before they are stored; "window" from the beginning of the window, for keys that
            are stored raw and rotated whenever they are read, so that positions stay below ``window``.
        cache_dtype: "model" keeps them in ``dtype``; "float8_e4m3fn" in 8 bits with a scale for each token
            and head, in half of the memory, widened whenever they are read (compact).

    Raises:
        FieldValueError: Window or sink hold no whole chunks, the window has no room, or an unknown name.
    """

    keys: Tensor
    """``[layers, B, window * frame_tokens, heads, head_dim]``, never moved; bytes where it is compact."""
    values: Tensor
    """Like ``keys``."""
    key_scales: Tensor | None
    """What each key is multiplied by where the cache is compact, ``[layers, B, window * frame_tokens, heads,
    1]``."""
    value_scales: Tensor | None
    """Like ``key_scales``."""
    write_index: Tensor
    """Where the current chunk goes: int64 ``[chunk * frame_tokens]`` on the device."""
    query_positions: Tensor
    """Positions of the current chunk's latent frames: int64 ``[chunk]`` on the device."""
    key_positions: Tensor
    """Positions of the stored latent frames, in the order stored: int64 ``[window]`` on the device.
    Where nothing is stored yet it says 0."""
    lengths: Tensor
    """``filled`` for kernels that read it on the device: int32 ``[B]``."""
    filled: int
    """Tokens that attention may see, the current chunk included; at most ``window / chunk`` values."""
    index: int
    """The current chunk; -1 before the first."""
    layers: tuple[LayerCache, ...]
    """The same memory, layer by layer."""

    def __init__(
        self,
        *,
        layers: int,
        batch_size: int,
        heads: int,
        head_dim: int,
        frame_tokens: int,
        window: int,
        sink: int,
        chunk: int,
        dtype: torch.dtype,
        device: torch.device | str,
        rope_positions: RopePositions = "absolute",
        cache_dtype: CacheDtype = "model",
    ) -> None:
        check_window(window, sink, chunk)
        check_rope_positions(rope_positions)
        check_cache_dtype(cache_dtype)
        self.frame_tokens, self.window, self.sink, self.chunk = frame_tokens, window, sink, chunk
        self.rope_positions = rope_positions
        shape = (layers, batch_size, window * frame_tokens, heads, head_dim)
        # Zeros, since a kernel that masks by length still multiplies what lies beyond it.
        compact = cache_dtype != "model"
        zeros = partial(torch.zeros, shape, dtype=torch.uint8 if compact else dtype, device=device)
        self.keys, self.values = zeros(), zeros()
        scales = partial(torch.zeros, (*shape[:-1], 1), dtype=dtype, device=device)
        self.key_scales = scales() if compact else None
        self.value_scales = scales() if compact else None
        self.dtype = dtype
        self._tokens = torch.arange(chunk * frame_tokens, device=device)
        self._frames = torch.arange(window, device=device)
        self.write_index = self._tokens.clone()
        self.query_positions = self._frames.narrow(0, 0, chunk).clone()
        self.key_positions = torch.zeros_like(self._frames)
        self.lengths = torch.zeros(batch_size, dtype=torch.int32, device=device)
        self.filled = 0
        self.index = -1
        parts = zip(*(memory.unbind(0) for memory in self._memories.values()), strict=True)
        self.layers = tuple(LayerCache(self, *part) for part in parts)

    def begin_chunk(self, index: int) -> None:
        """Point the cache at chunk ``index``. May be repeated; it forgets and writes nothing itself.

        Everything set here is a function of ``index`` alone. No device value comes to the host, and
        none goes from it but as an argument of a kernel, so the host never waits.

        Raises:
            OutOfOrderError: ``index`` is negative.
        """
        if index < 0:
            raise OutOfOrderError(
                f"Chunk {index} was begun.", "The first chunk is chunk 0.", "Count chunks from 0."
            )
        frame_index = self._place(index) * self.chunk
        end = (index + 1) * self.chunk
        forgotten = max(0, end - self.window) if self.rope_positions == "window" else 0
        self.index = index
        self.filled = min(end, self.window) * self.frame_tokens
        self.lengths.fill_(self.filled)
        torch.add(self._tokens, frame_index * self.frame_tokens, out=self.write_index)
        torch.add(
            self._frames.narrow(0, 0, self.chunk), end - self.chunk - forgotten, out=self.query_positions
        )
        self._set_key_positions(end - 1, forgotten)

    def update(self, layer: int, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """Write the current chunk's keys and values, and return all that attention may see.

        Args:
            layer: Index of the attention layer.
            k: Keys of the current chunk, ``[B, chunk * frame_tokens, heads, head_dim]``; rotated where
                ``rope_positions`` is "absolute", raw where it is "window".
            v: Values, like ``k``.

        Returns:
            Keys and values, ``[B, filled, heads, head_dim]``: views of the cache.
        """
        return self.layers[layer].update(k, v)

    def takes_lengths(self, backend: str) -> bool:
        """Whether an attention backend reads on the device how much of this cache is filled."""
        return takes_lengths(self.keys.device, self.dtype, backend, self.keys.shape[-1])

    def snapshot(self) -> dict[str, Any]:
        """A host copy of what attention may see: index, keys and values, and their scales."""
        seen = {name: t[:, :, : self.filled].to("cpu", copy=True) for name, t in self._memories.items()}
        return {"index": self.index, "layout": self._layout, **seen}

    def snapshot_bytes(self) -> int:
        """Bytes that :meth:`snapshot` would take."""
        return sum(t[:, :, : self.filled].nbytes for t in self._memories.values())

    def take(self, other: KVCache) -> None:
        """Hold what another cache of the same sizes holds, on the device, at this one's addresses."""
        if other.index >= 0:
            self.begin_chunk(other.index)
            for name, memory in self._memories.items():
                memory[:, :, : self.filled].copy_(other._memories[name][:, :, : self.filled])
        else:
            self.index, self.filled = -1, 0

    def gather(self, others: Sequence[KVCache]) -> None:
        """Hold side by side what caches of single videos hold, all at one chunk, which this one begins.

        Where a video has several rows, as under guidance, its n-th row stands among the n-th of all videos.

        Raises:
            RolloutError: They are at different chunks.
        """
        chunks = [other.index for other in others]
        if len({*chunks}) > 1:
            raise RolloutError(
                f"KV caches at the chunks {', '.join(map(str, chunks))} were to be gathered.",
                "Side by side go caches that hold equally many chunks.",
                "Compute each video alone.",
            )
        if others[0].index < 0:
            self.index, self.filled = -1, 0
            return
        self.begin_chunk(others[0].index)
        self._share(others, slice(0, self.filled), lambda mine, theirs: mine.copy_(theirs))

    def scatter(self, others: Sequence[KVCache]) -> None:
        """Hand the current chunk back to the caches that were gathered, to each that of its own video."""
        start = self._place(self.index) * self.chunk * self.frame_tokens
        written = slice(start, start + self.chunk * self.frame_tokens)
        self._share(others, written, lambda mine, theirs: theirs.copy_(mine))

    def restore(self, snapshot: dict[str, Any]) -> None:
        """Take up a snapshot, at the addresses that the cache has.

        Raises:
            SnapshotError: The snapshot comes from a cache of other sizes or another dtype.
        """
        if snapshot["layout"] != self._layout:
            raise SnapshotError(
                f"The snapshot's cache has (window, sink, chunk, rope_positions) {snapshot['layout']}.",
                f"This one has {self._layout}, and keeps its chunks in other places.",
                "Restore it to a pipeline of the config it was taken from.",
            )
        frames = min(snapshot["index"] + 1, self.window // self.chunk) * self.chunk
        rooms = {name: t[:, :, : frames * self.frame_tokens] for name, t in self._memories.items()}
        stored, room = snapshot["keys"], rooms["keys"]
        if stored.shape != room.shape or stored.dtype != room.dtype:
            raise SnapshotError(
                f"The snapshot's keys are {stored.dtype} {list(stored.shape)}.",
                f"After chunk {snapshot['index']} this cache holds {room.dtype} {list(room.shape)}.",
                "Restore it to a cache of the sizes it was taken from.",
            )
        if snapshot["index"] < 0:
            self.index, self.filled = -1, 0
            return
        self.begin_chunk(snapshot["index"])
        for name, room in rooms.items():
            room.copy_(snapshot[name])

    def state_tensors(self) -> list[Tensor]:
        """Every tensor that the cache owns, for accounting of memory and addresses."""
        return [
            *self._memories.values(),
            *(self.write_index, self.query_positions, self.key_positions, self.lengths),
            *(self._tokens, self._frames),
        ]

    @property
    def _memories(self) -> dict[str, Tensor]:
        """Keys and values of all layers, and their scales where the cache is compact."""
        named = {name: getattr(self, name) for name in ("keys", "values", "key_scales", "value_scales")}
        return {name: memory for name, memory in named.items() if memory is not None}

    @property
    def _layout(self) -> tuple[int, int, int, str]:
        return (self.window, self.sink, self.chunk, self.rope_positions)

    def _share(self, others: Sequence[KVCache], tokens: slice, copy: Callable[[Tensor, Tensor], Any]) -> None:
        """Copy some tokens between the rows of each video here and the cache of its own."""
        for name, memory in self._memories.items():
            for number, other in enumerate(others):
                copy(memory[:, number :: len(others), tokens], other._memories[name][:, :, tokens])

    def _place(self, index: int) -> int:
        """Where chunk ``index`` goes, counted in chunks."""
        sink, ring = self.sink // self.chunk, (self.window - self.sink) // self.chunk
        return index if index < sink else sink + (index - sink) % ring

    def _set_key_positions(self, last: int, forgotten: int) -> None:
        """Say where the stored latent frames are, ``last`` being the newest of them."""
        frames = self._frames
        newest = last - (last - frames) % (self.window - self.sink)
        positions = torch.where(frames < self.sink, frames, newest - forgotten)
        torch.mul(positions, frames <= last, out=self.key_positions)
