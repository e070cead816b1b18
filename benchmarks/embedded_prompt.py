"""A context encoder for scripts that measure transformers: it hands on a prompt that is embedded already."""

from dataclasses import dataclass, field
from typing import Any

from flashdreams.infra.conditions import Conditions
from flashdreams.infra.encoder.base import Encoder, EncoderConfig


@dataclass(kw_only=True)
class EmbeddedConfig(EncoderConfig):
    """Takes ``embedded``, ``[B, L, text_width]``."""

    _target: Any = field(default_factory=lambda: Embedded)


class Embedded(Encoder):
    """Hands on ``embedded`` as the text."""

    takes = frozenset({"embedded"})

    def forward(self, conditions: Conditions):
        """The embedding as it was given."""
        return {"text": conditions.inputs["embedded"]}
