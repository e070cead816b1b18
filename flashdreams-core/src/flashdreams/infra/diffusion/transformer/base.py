"""Base transformer.

A transformer predicts the flow of one chunk while attending to the chunks before it. Its weights never
change; what changes during a rollout lives in a :class:`TransformerCache` that the caller owns. The
memory of a cache is allocated once per slot and written in place ever after, so that a captured graph
finds every tensor where it was.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from flashdreams.core.kv_cache import KVCache
from flashdreams.errors import InputError
from flashdreams.infra import state_tree
from flashdreams.infra.conditions import Conditions
from flashdreams.infra.diffusion.transformer.config import TransformerConfig

__all__ = ["Transformer", "TransformerCache", "TransformerConfig"]


@dataclass
class TransformerCache:
    """What one rollout's transformer remembers; subclasses add tensors of their own."""

    context: Any = None
    """The rollout's one-shot conditions as the context encoder gave them: a tree of tensors."""
    past: KVCache | None = None
    """Keys and values of past chunks, where the transformer keeps any."""
    primed: int = 0
    """Chunks written before the first generated one, such as a given start frame."""


class Transformer(nn.Module):
    """Predicts flow, chunk by chunk.

    Subclasses implement :meth:`predict_flow`; those with a past override :meth:`allocate_cache` to
    give it a KV cache.
    """

    config: TransformerConfig

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.config = config
        encoder = config.context_encoder
        self.context_encoder = encoder.setup() if encoder is not None else None

    def latent_shape(self, height: int, width: int) -> tuple[int, int, int, int]:
        """Shape ``(C, T, H, W)`` of one chunk of latents, from its height and width in latents."""
        return (self.config.latent_channels, self.config.chunk, height, width)

    def encode_context(self, conditions: Conditions) -> Any:
        """Turn a rollout's one-shot conditions into a tree of tensors.

        Raises:
            InputError: A condition was given that this model does not take.
        """
        encoder = self.context_encoder
        takes = frozenset[str]() if encoder is None else encoder.takes
        unknown = [] if takes is None else [name for name in conditions.given() if name not in takes]
        if unknown:
            raise InputError(
                f"This model was given {', '.join(unknown)}.",
                f"It takes {', '.join(sorted(takes or ())) or 'no prompts, first frame or other condition'}.",
                "Leave it out, or correct its name; a context_encoder of the transformer may take it.",
            )
        return None if encoder is None else encoder(conditions)

    def allocate_cache(self, batch_size: int, latent_shape: tuple[int, int, int, int]) -> TransformerCache:
        """Memory for one rollout of ``batch_size`` videos with chunks of ``latent_shape``."""
        return TransformerCache()

    def begin_rollout(self, cache: TransformerCache, context: Any) -> None:
        """Forget the last rollout and take up ``context``, at the addresses the cache already has."""
        cache.context = state_tree.updated(cache.context, context, self._device)
        cache.primed = 0

    def take_control(self, cache: TransformerCache, index: int, control: Any) -> Any:
        """Take up what steers chunk ``index``, once, before its first pass.

        For what is too slow for every pass, or waits for the host, such as a new prompt. It may be repeated
        with another control until the chunk is final, and must then be as if the first had never been given;
        :meth:`remember_chunk` commits.

        Args:
            cache: What the rollout remembers, still pointed at an earlier chunk.
            index: The chunk, from 0.
            control: What the encoder made of this chunk's input, or None.

        Returns:
            What the passes of this chunk are given for ``control``.
        """
        return control

    def given_chunk(self, cache: TransformerCache, index: int) -> Tensor | None:
        """Clean latents of a chunk that is given and not made, ``[B, C, T, H, W]``; None where it is made.

        A video that starts from an image has it for its first chunk.
        """
        return None

    def begin_chunk(self, cache: TransformerCache, index: int) -> None:
        """Point the cache at chunk ``index``. May be repeated; nothing is forgotten by it."""
        if cache.past is not None:
            cache.past.begin_chunk(cache.primed + index)

    def graph_key(self, cache: TransformerCache) -> Hashable:
        """Values on the host that decide which operators a pass over the current chunk runs.

        A graph of the pass is replayed where they are equal, so there must be finitely many. By default the
        fill level of the KV cache, where the attention backend does not read it on the device.
        """
        past = cache.past
        return None if past is None or past.takes_lengths(self.config.attention_backend) else past.filled

    def predict_flow(
        self, latents: Tensor, timestep: Tensor, cache: TransformerCache, control: Any
    ) -> Tensor:
        """Predict the flow of the current chunk, writing its keys and values to the cache.

        Args:
            latents: Noisy latents of the chunk, ``[B, C, T, H, W]``.
            timestep: Noise level in [0, 1000], float32 ``[1]`` on the device.
            cache: What the rollout remembers, pointed at this chunk by :meth:`begin_chunk`.
            control: What the encoder made of this chunk's input, or None.

        Returns:
            Flow ``noise - clean``, ``[B, C, T, H, W]``.
        """
        raise NotImplementedError(f"{type(self).__name__} must implement predict_flow().")

    def write_context(self, latents: Tensor, cache: TransformerCache, control: Any) -> None:
        """Write the keys and values of the clean chunk: one more pass, at ``context_noise``."""
        timestep = torch.full((1,), self.config.context_noise, device=latents.device)
        self.predict_flow(latents, timestep, cache, control)

    def remember_chunk(self, latents: Tensor, cache: TransformerCache) -> None:
        """Keep what else the next chunk needs of this clean one. May be repeated with the same result."""

    @property
    def _device(self) -> torch.device | None:
        parameter = next(self.parameters(), None)
        return None if parameter is None else parameter.device
