"""Base encoders.

An :class:`Encoder` turns one input into its encoding and keeps nothing. A :class:`StreamingEncoder`
is called chunk by chunk and carries a state from one chunk to the next. Neither changes itself while
it runs: state goes in and comes out, so that many rollouts can share one module.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import nn

from flashdreams.infra.encoder.config import (
    EncoderConfig,
    NullEncoderConfig,
    StreamingEncoderConfig,
)
from flashdreams.infra.streaming import Streaming

__all__ = [
    "Encoder",
    "EncoderConfig",
    "NullEncoder",
    "NullEncoderConfig",
    "StreamingEncoder",
    "StreamingEncoderConfig",
]


class Encoder(nn.Module):
    """Turns one input into its encoding. Subclasses implement ``forward(input)``."""

    config: EncoderConfig
    takes: ClassVar[frozenset[str] | None] = None
    """Of a context encoder: names of the conditions it takes (prompts, first_frame, or others of its own).
    None leaves them unchecked."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.config = config

    def transient(self) -> dict[str, nn.Module]:
        """Modules that are loaded to encode and released again, by name: skeletons on ``meta``.

        For ``flashdreams plan``: their weights take memory while conditions are encoded, and none while
        chunks are made. They are no part of the module tree, which holds what stays. Each is expected to
        be released before the next one is loaded, and to compute in host memory where the pipeline's
        device has no room for it.
        """
        return {}

    def transient_bytes(self) -> int:
        """Bytes of all that :meth:`transient` names; overridden where building it takes long to answer."""
        tensors = [t for m in self.transient().values() for t in (*m.parameters(), *m.buffers())]
        return sum(t.numel() * t.element_size() for t in {id(t): t for t in tensors}.values())


class StreamingEncoder(Streaming, Encoder):
    """An encoder with a state that runs from chunk to chunk.

    Subclasses implement ``forward(input, state)``; see :class:`Streaming`.
    """

    config: StreamingEncoderConfig

    def forward(self, input: Any, state: Any) -> tuple[Any, Any]:
        """Encode ``input`` after ``state``; return the encoding and the next state."""
        raise NotImplementedError(f"{type(self).__name__} must implement forward(input, state).")


class NullEncoder(StreamingEncoder):
    """Ignores every input and gives None: the transformer gets no control.

    Its state counts the chunks it has seen, so that whatever holds of streaming encoders (commit,
    retry, snapshot) can be seen to hold of it.
    """

    config: NullEncoderConfig

    def forward(self, input: Any, state: torch.Tensor | None) -> tuple[None, torch.Tensor]:
        """Return None and the number of chunks seen, int64 ``[1]``."""
        if state is None:
            state = torch.zeros(1, dtype=torch.int64)
        return None, state + 1
