"""The slow twin of the KV cache: lists and ``torch.cat``, obviously right."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from flashdreams.core.attention import attention
from flashdreams.core.compact import CacheDtype, compacted, restored
from flashdreams.core.kv_cache import RopePositions
from flashdreams.core.layer_cache import Turn
from flashdreams.core.window import check_window


class NaiveKVCache:
    """What :class:`flashdreams.core.kv_cache.KVCache` does, in the order of time.

    Same arguments, same meaning. The twin keeps each chunk for ever and concatenates those in sight, sink
    first, so its tokens are in the order of time where the ring's are in the order of the ring;
    ``key_positions`` says which is which.
    """

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
        self.frame_tokens, self.window, self.sink, self.chunk = frame_tokens, window, sink, chunk
        self.rope_positions = rope_positions
        self.device = torch.device(device)
        self.is_compact = cache_dtype != "model"
        self.index = -1
        self._chunks: list[dict[int, tuple[Tensor, Tensor]]] = [{} for _ in range(layers)]
        self.layers = tuple(NaiveLayer(self, layer) for layer in range(layers))

    def begin_chunk(self, index: int) -> None:
        """Point the cache at chunk ``index``."""
        self.index = index

    def update(self, layer: int, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """Keep the current chunk and return every chunk in sight, ``[B, filled, heads, head_dim]``."""
        kept = [restored(*compacted(t)) if self.is_compact else t.clone() for t in (k, v)]
        self._chunks[layer][self.index] = (kept[0], kept[1])
        seen = [self._chunks[layer][index] for index in self.chunks_in_sight()]
        return torch.cat([k for k, _ in seen], dim=1), torch.cat([v for _, v in seen], dim=1)

    def takes_lengths(self, backend: str) -> bool:
        """Whether attention over this cache reads lengths on the device: never."""
        return False

    def chunks_in_sight(self) -> list[int]:
        """Chunks that attention sees, the current one last."""
        sink, ring = self.sink // self.chunk, (self.window - self.sink) // self.chunk
        return [n for n in range(self.index + 1) if n < sink or n > self.index - ring]

    @property
    def filled(self) -> int:
        """Tokens that attention sees."""
        return len(self.chunks_in_sight()) * self.chunk * self.frame_tokens

    @property
    def key_positions(self) -> Tensor:
        """Positions of the latent frames in sight, in the order of time, then zeros: int64 ``[window]``."""
        positions = self._positions_in_sight()
        return torch.tensor(positions + [0] * (self.window - len(positions)), device=self.device)

    @property
    def query_positions(self) -> Tensor:
        """Positions of the current chunk's latent frames: int64 ``[chunk]``."""
        return torch.tensor(self._positions_in_sight()[-self.chunk :], device=self.device)

    def snapshot(self) -> dict[str, Any]:
        """A copy of everything."""
        copied = [{n: (k.clone(), v.clone()) for n, (k, v) in chunks.items()} for chunks in self._chunks]
        return {"index": self.index, "chunks": copied}

    def restore(self, snapshot: dict[str, Any]) -> None:
        """Take up a snapshot."""
        self.index = snapshot["index"]
        self._chunks = [dict(chunks) for chunks in snapshot["chunks"]]

    def state_tensors(self) -> list[Tensor]:
        """Every tensor kept."""
        return [t for chunks in self._chunks for pair in chunks.values() for t in pair]

    def _positions_in_sight(self) -> list[int]:
        frames = [n * self.chunk + frame for n in self.chunks_in_sight() for frame in range(self.chunk)]
        return frames if self.rope_positions == "absolute" else list(range(len(frames)))


class NaiveLayer:
    """One attention layer of a :class:`NaiveKVCache`."""

    def __init__(self, past: NaiveKVCache, layer: int) -> None:
        self.past, self._layer = past, layer

    def update(self, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """Keep the current chunk and return every chunk in sight."""
        return self.past.update(self._layer, k, v)

    def attend(
        self, q: Tensor, k: Tensor, v: Tensor, *, backend: str = "auto", turn: Turn | None = None
    ) -> Tensor:
        """Keep the current chunk, and let its queries read every chunk in sight."""
        keys, values = self.update(k, v)
        return attention(q, keys if turn is None else turn(keys), values, backend=backend)
