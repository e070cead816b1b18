"""Base decoders.

A :class:`Decoder` turns the latents of one chunk into pixels and keeps nothing. A
:class:`StreamingDecoder` carries a state from chunk to chunk, such as the last frames that its causal
convolutions look back at. State goes in and comes out; the module itself never changes.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from flashdreams.infra.decoder.config import DecoderConfig, StreamingDecoderConfig
from flashdreams.infra.streaming import Streaming

__all__ = ["Decoder", "DecoderConfig", "StreamingDecoder", "StreamingDecoderConfig"]


class Decoder(nn.Module):
    """Turns latents ``[B, C, T, H, W]`` into pixels ``[B, 3, T', H', W']`` in [-1, 1].

    Subclasses implement ``forward(latents)``.
    """

    config: DecoderConfig

    def __init__(self, config: DecoderConfig) -> None:
        super().__init__()
        self.config = config


class StreamingDecoder(Streaming, Decoder):
    """A decoder with a state that runs from chunk to chunk.

    Subclasses implement ``forward(latents, state)``; see :class:`Streaming`.
    """

    config: StreamingDecoderConfig

    def forward(self, latents: torch.Tensor, state: Any) -> tuple[torch.Tensor, Any]:
        """Decode ``latents`` after ``state``; return the pixels and the next state."""
        raise NotImplementedError(f"{type(self).__name__} must implement forward(latents, state).")
