"""One attention layer's part of the KV cache: where a chunk's keys and values go, and how they are read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import Tensor

from flashdreams.core.attention import attention, takes_lengths
from flashdreams.core.compact import compacted, restored

if TYPE_CHECKING:
    from flashdreams.core.kv_cache import KVCache

Turn = Callable[[Tensor], Tensor]
"""Rotates keys that are cached without positions as they are read: ``[B, L, heads, head_dim]``, the first
``L`` places of the cache, to the same shape."""


@dataclass(frozen=True, eq=False)
class LayerCache:
    """Keys and values of one attention layer: views of a :class:`flashdreams.core.kv_cache.KVCache`."""

    past: KVCache
    """The cache of all layers, which says where the current chunk goes and how much is filled."""
    keys: Tensor
    """``[B, window * frame_tokens, heads, head_dim]``, never moved; bytes of float8 where scaled."""
    values: Tensor
    """Like ``keys``."""
    key_scales: Tensor | None = None
    """What each key is multiplied by, ``[B, window * frame_tokens, heads, 1]``; None where it is kept as it
    is."""
    value_scales: Tensor | None = None
    """Like ``key_scales``."""

    def attend(
        self, q: Tensor, k: Tensor, v: Tensor, *, backend: str = "auto", turn: Turn | None = None
    ) -> Tensor:
        """Write the current chunk, and let its queries read all that attention may see.

        A backend that reads lengths on the device is given the whole window and the number of tokens that
        are filled, so that it runs the same operators on the same memory for every chunk.

        Args:
            q: Queries, ``[B, chunk * frame_tokens, heads, head_dim]``, rotated.
            k: Keys, like ``q``; rotated where ``rope_positions`` is "absolute", raw where it is "window".
            v: Values, like ``q``.
            backend: Name of the attention backend.
            turn: Rotates the keys as they are read, where they are cached raw.

        Returns:
            What the queries read, like ``q``.

        Raises:
            DeviceError: There is no such backend, or this device or dtype does not have it.
        """
        self.write(k, v)
        return self.look(q, backend=backend, turn=turn)

    def look(self, q: Tensor, *, backend: str = "auto", turn: Turn | None = None) -> Tensor:
        """Let queries read all that attention may see, once the chunk is written; see :meth:`attend`."""
        by_length = takes_lengths(q.device, q.dtype, backend, q.shape[-1])
        keys, values = self.read(None if by_length else self.past.filled)
        if turn is not None:
            keys = turn(keys)
        return attention(q, keys, values, lengths=self.past.lengths if by_length else None, backend=backend)

    def update(self, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """Write the current chunk and return what attention may see; see ``KVCache.update``."""
        self.write(k, v)
        return self.read(self.past.filled)

    def write(self, k: Tensor, v: Tensor) -> None:
        """Write the current chunk, ``[B, chunk * frame_tokens, heads, head_dim]`` each."""
        self._write(k, self.keys, self.key_scales)
        self._write(v, self.values, self.value_scales)

    def read(self, length: int | None = None) -> tuple[Tensor, Tensor]:
        """Keys and values of the first ``length`` places, or of the whole window.

        Returns:
            ``[B, length, heads, head_dim]`` each: views of the cache, or copies where it is compact.
        """
        return self._each(lambda memory: memory if length is None else memory.narrow(1, 0, length))

    def read_at(self, places: Tensor) -> tuple[Tensor, Tensor]:
        """Copies of keys and values at some places, int64 ``[L]``: ``[B, L, heads, head_dim]`` each."""
        return self._each(lambda memory: memory.index_select(1, places))

    def _write(self, tokens: Tensor, memory: Tensor, scales: Tensor | None) -> None:
        if scales is not None:
            tokens, scale = compacted(tokens.to(scales.dtype))
            scales.index_copy_(1, self.past.write_index, scale)
        memory.index_copy_(1, self.past.write_index, tokens)

    def _each(self, cut: Callable[[Tensor], Tensor]) -> tuple[Tensor, Tensor]:
        keys, values = cut(self.keys), cut(self.values)
        if self.key_scales is None or self.value_scales is None:
            return keys, values
        return restored(keys, cut(self.key_scales)), restored(values, cut(self.value_scales))
