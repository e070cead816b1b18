"""Base decoders.

A :class:`Decoder` turns the latents of one chunk into pixels and keeps nothing. A
:class:`StreamingDecoder` carries a state from chunk to chunk, such as the last frames that its causal
convolutions look back at. State goes in and comes out; the module itself never changes.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from flashdreams.errors import InputError
from flashdreams.infra.decoder.config import DecoderConfig, StreamingDecoderConfig

__all__ = ["Decoder", "DecoderConfig", "StreamingDecoder", "StreamingDecoderConfig"]


class Decoder(nn.Module):
    """Turns latents ``[B, C, T, H, W]`` into pixels ``[B, 3, T', H', W']`` in [-1, 1].

    Subclasses implement ``forward(latents)``.
    """

    config: DecoderConfig

    def __init__(self, config: DecoderConfig) -> None:
        super().__init__()
        self.config = config


class StreamingDecoder(Decoder):
    """A decoder with a state that runs from chunk to chunk.

    Subclasses implement ``forward(latents, state)``, which returns the pixels of this chunk and the
    state after it. ``state`` is None at the first chunk of a rollout; later it is what the last
    committed chunk returned: a tensor, or a (nested) dict, list or tuple of tensors. It must be left
    unchanged, since a chunk can be generated again until it is finalized. Its structure and shapes
    stay the same from one chunk to the next.
    """

    config: StreamingDecoderConfig

    def initialize_state(self, **context: Any) -> Any:
        """State of a rollout before its first chunk, from the context given when it begins.

        Raises:
            InputError: A context was given; components that take one override this method.
        """
        if context:
            raise InputError(
                f"{type(self).__name__} was given the context {', '.join(context)}.",
                "It takes none.",
                "Leave it out when the rollout begins.",
            )
        return None

    def forward(self, latents: torch.Tensor, state: Any) -> tuple[torch.Tensor, Any]:
        """Decode ``latents`` after ``state``; return the pixels and the next state."""
        raise NotImplementedError(f"{type(self).__name__} must implement forward(latents, state).")
