"""Configs of the encoders. No torch here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from flashdreams.infra.config import InstantiateConfig


@dataclass(kw_only=True)
class EncoderConfig(InstantiateConfig):
    """An encoder."""

    _target: Any = "flashdreams.infra.encoder.base:Encoder"


@dataclass(kw_only=True)
class StreamingEncoderConfig(EncoderConfig):
    """An encoder that is called once per chunk and remembers earlier chunks."""

    _target: Any = "flashdreams.infra.encoder.base:StreamingEncoder"


@dataclass(kw_only=True)
class NullEncoderConfig(StreamingEncoderConfig):
    """An encoder that ignores its input: the rollout is not steered."""

    _target: Any = "flashdreams.infra.encoder.base:NullEncoder"
