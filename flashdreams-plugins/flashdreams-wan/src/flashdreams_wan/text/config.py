"""Config of the text encoder. No torch here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from flashdreams.errors import FieldValueError
from flashdreams.infra.encoder.config import EncoderConfig
from flashdreams.io.lock import references_in

POSITION_BUCKETS = 32
"""Ranges of distance between tokens that have a learnt bias each, in every head of every block."""


@dataclass(kw_only=True)
class WanTextEncoderConfig(EncoderConfig):
    """The encoder half of UMT5 (arXiv 2304.09151); defaults are those of UMT5-XXL, which Wan reads."""

    _target: Any = "flashdreams_wan.text.encoder:WanTextEncoder"

    width: int = 4096
    """Width of the embeddings."""
    mlp_width: int = 10240
    """Width inside the gated MLP of each block."""
    layers: int = 24
    """Transformer blocks."""
    heads: int = 64
    """Attention heads."""
    head_width: int = 64
    """Width of one attention head."""
    vocabulary: int = 256384
    """Rows of the token embedding; the tokenizer's ids lie below it."""
    tokens: int = 512
    """Tokens of a prompt, its end mark included; shorter ones are padded with zeros, longer ones cut."""
    weights: str = "random"
    """Weights: "random", a lock reference such as "flashdreams_wan:text-encoder", a file or a folder."""
    weights_seed: int = 0
    """Seed of random weights."""
    tokenizer: str = "bytes"
    """Tokenizer: "bytes" (one token a byte, no files), "flashdreams_wan:tokenizer", or a local folder."""
    keep: Literal["release", "keep"] = "release"
    """Whether the weights stay in memory after prompts were encoded, or are released."""
    device: str = "auto"
    """Where prompts are encoded; "auto" is beside the transformer if there is room, else the CPU."""
    cache_embeddings: bool = True
    """Remember the embeddings of prompts on disk, so that a prompt seen before needs no encoder."""

    def __post_init__(self) -> None:
        counts = ("width", "mlp_width", "layers", "heads", "head_width", "vocabulary", "tokens")
        wrong = [name for name in counts if getattr(self, name) < 1]
        if wrong:
            raise FieldValueError(
                f"{wrong[0]} is {getattr(self, wrong[0])}.",
                f"{wrong[0]} counts, so it is 1 or more.",
                f"Set {wrong[0]} to at least 1; UMT5-XXL has the default.",
            )

    @property
    def parameters(self) -> int:
        """How many there are: 5.68 billion in UMT5-XXL."""
        attention = 4 * self.width * self.heads * self.head_width + POSITION_BUCKETS * self.heads
        block = attention + 3 * self.width * self.mlp_width + 2 * self.width  # gated MLP, two norms
        return self.vocabulary * self.width + self.layers * block + self.width

    def weight_references(self) -> list[str]:
        """The entries of lock files that are needed."""
        return references_in(self.weights, self.tokenizer)
