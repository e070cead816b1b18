"""What a rollout of the transformer remembers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor

from flashdreams.core.kv_cache import KVCache
from flashdreams.infra import state_tree
from flashdreams.infra.diffusion.transformer.base import TransformerCache
from flashdreams_wan.dit.blocks import KeysValues
from flashdreams_wan.dit.config import WanTransformerConfig
from flashdreams_wan.dit.network import PATCH


def _nothing() -> Tensor:
    return torch.empty(0)


class PastBackup:
    """Keys and values of the past as they were before a new prompt was applied to them, in host memory."""

    def __init__(self) -> None:
        self._kept: dict[str, Any] | None = None

    def keep(self, past: KVCache) -> None:
        """Copy what the cache holds."""
        self._kept = past.snapshot()

    def undo(self, past: KVCache) -> None:
        """Give the cache back what was copied, where anything was."""
        if self._kept is not None:
            past.restore(self._kept)
            self._kept = None

    def drop(self) -> None:
        """Forget the copy: what was done since is final."""
        self._kept = None

    def snapshot(self) -> dict[str, Any] | None:
        """The copy, which nobody writes to."""
        return self._kept

    def snapshot_bytes(self) -> int:
        """Bytes of the copy."""
        return state_tree.taken_bytes(self._kept)

    def restore(self, snapshot: dict[str, Any] | None) -> None:
        """Take up a snapshot."""
        self._kept = snapshot

    def gather(self, others: Sequence[PastBackup]) -> None:
        """Hold nothing: a batch is made of videos that keep their own copies, which no pass reads."""

    def scatter(self, others: Sequence[PastBackup]) -> None:
        """Hand nothing back."""


@dataclass
class WanCache(TransformerCache):
    """Beside the past: what the blocks read in prompt and image, and what a new prompt needs.

    Rows are the videos of the batch, and behind them, under guidance, the same videos with the negative
    prompt. Every tensor stays where it is for the life of the cache.
    """

    grid: tuple[int, int] = (0, 0)
    """Tokens of a latent frame in height and width."""
    text: KeysValues = field(default_factory=lambda: (_nothing(), _nothing()))
    """Keys and values of the prompt, ``[layers, rows, text_tokens, heads, head_dim]`` each."""
    image: KeysValues | None = None
    """The same of the image, where the model looks at one."""
    turns: Tensor = field(default_factory=_nothing)
    """Rotations of the chunk's tokens, complex ``[L, 1, head_dim / 2]``."""
    key_turns: Tensor | None = None
    """Rotations of all tokens in the cache, where it holds keys without positions."""
    condition: Tensor | None = None
    """Further input channels of the current chunk, ``[B, channels, chunk, H, W]``."""
    clean: Tensor | None = None
    """Clean latents of the window, in the places of their keys: ``[B, C, window, H, W]``."""
    new_text: Tensor = field(default_factory=_nothing)
    """Embeddings of the prompt that takes over with the current chunk, ``[B, text_tokens, text_width]``."""
    is_switching: bool = False
    """Whether a prompt takes over with the current chunk: until that is final, it can be taken back."""
    backup: PastBackup = field(default_factory=PastBackup)
    """The past under the prompt before."""


def allocate_cache(
    config: WanTransformerConfig, videos: int, latent_shape: tuple[int, int, int, int], like: Tensor
) -> WanCache:
    """Memory for one rollout, in the dtype and on the device of ``like``.

    Args:
        config: The transformer's.
        videos: Videos of the batch.
        latent_shape: Shape of a chunk, ``(C, T, H, W)``.
        like: One of the transformer's weights.
    """
    channels, chunk, height, width = latent_shape
    grid = (height // PATCH[1], width // PATCH[2])
    rows, tokens = videos * (2 if config.is_guided else 1), grid[0] * grid[1]
    raw_keys = config.is_causal and config.rope_positions == "window"
    layers = partial(like.new_zeros, config.layers, rows)
    heads = (config.heads, config.head_width)
    turns = partial(torch.zeros, dtype=torch.complex64, device=like.device)
    return WanCache(
        past=_allocate_past(config, rows, tokens, like) if config.is_causal else None,
        grid=grid,
        text=(layers(config.text_tokens, *heads), layers(config.text_tokens, *heads)),
        image=(layers(config.image_tokens, *heads), layers(config.image_tokens, *heads))
        if config.image_width
        else None,
        turns=turns(chunk * tokens, 1, config.head_width // 2),
        key_turns=turns(config.window * tokens, 1, config.head_width // 2) if raw_keys else None,
        condition=like.new_zeros(videos, config.condition_channels, chunk, height, width)
        if config.condition_channels
        else None,
        clean=like.new_zeros(videos, channels, config.window, height, width) if config.is_causal else None,
        new_text=like.new_zeros(videos, config.text_tokens, config.text_width),
    )


def write(memory: KeysValues, first_row: int, layers: Iterable[KeysValues]) -> None:
    """Write keys and values of some rows, layer by layer, at the addresses that the memory has."""
    for layer, pair in enumerate(layers):
        for target, source in zip(memory, pair, strict=True):
            target[layer].narrow(0, first_row, source.shape[0]).copy_(source)


def _allocate_past(config: WanTransformerConfig, rows: int, frame_tokens: int, like: Tensor) -> KVCache:
    return KVCache(
        layers=config.layers,
        batch_size=rows,
        heads=config.heads,
        head_dim=config.head_width,
        frame_tokens=frame_tokens,
        window=config.window,
        sink=config.sink,
        chunk=config.chunk,
        dtype=like.dtype,
        device=like.device,
        rope_positions=config.rope_positions,
        cache_dtype=config.cache_dtype,
    )
