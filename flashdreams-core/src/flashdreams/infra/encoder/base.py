"""Base encoders.

An :class:`Encoder` turns one input into its encoding and keeps nothing. A :class:`StreamingEncoder`
is called chunk by chunk and carries a state from one chunk to the next. Neither changes itself while
it runs: state goes in and comes out, so that many rollouts can share one module.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from flashdreams.errors import InputError
from flashdreams.infra.encoder.config import (
    EncoderConfig,
    NullEncoderConfig,
    StreamingEncoderConfig,
)

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

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.config = config


class StreamingEncoder(Encoder):
    """An encoder with a state that runs from chunk to chunk.

    Subclasses implement ``forward(input, state)``, which returns the encoding of this chunk and the
    state after it. ``state`` is None at the first chunk of a rollout; later it is what the last
    committed chunk returned: a tensor, or a (nested) dict, list or tuple of tensors. It must be left
    unchanged, since a chunk can be generated again until it is finalized. Its structure and shapes
    stay the same from one chunk to the next.
    """

    config: StreamingEncoderConfig

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
