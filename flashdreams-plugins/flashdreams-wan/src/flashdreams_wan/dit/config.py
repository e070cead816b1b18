"""Config of the transformer. No torch here."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

from flashdreams.errors import FieldValueError
from flashdreams.infra.diffusion.transformer.config import TransformerConfig
from flashdreams.infra.encoder.config import EncoderConfig
from flashdreams.io.lock import references_in
from flashdreams_wan.context.config import WanContextEncoderConfig


@dataclass(kw_only=True)
class WanTransformerConfig(TransformerConfig):
    """Wan 2.1's transformer; as it stands, text to video at 1.3 billion parameters, chunk by chunk.

    Where chunk equals window it is bidirectional: one chunk is the whole clip, and nothing is cached.
    """

    _target: Any = "flashdreams_wan.dit.transformer:WanTransformer"

    context_encoder: EncoderConfig | None = field(default_factory=WanContextEncoderConfig)
    latent_channels: int = 16
    chunk: int = 3
    window: int = 21
    width: int = 1536
    """Width of the tokens; 5120 at 14 billion parameters."""
    mlp_width: int = 8960
    """Width inside of the feed-forward layers; 13824 at 14 billion parameters."""
    layers: int = 30
    """Transformer blocks; 40 at 14 billion parameters."""
    heads: int = 12
    """Attention heads; 40 at 14 billion parameters."""
    frequency_width: int = 256
    """Sines and cosines that the timestep is told in."""
    text_width: int = 4096
    """Width of the text encoder's embeddings."""
    text_tokens: int = 512
    """Tokens of a prompt, padding included; the transformer attends to all of them."""
    condition_channels: int = 0
    """Input channels beside the latents; 20 for image to video at 14 billion parameters."""
    image_width: int = 0
    """Width of the image encoder's embeddings, 1280 for CLIP; 0 where the model looks at no image."""
    image_tokens: int = 257
    """Tokens of an image; CLIP's vision tower makes 16 x 16 and one of the whole."""
    guidance_scale: float = 1.0
    """How far the flow is led away from the negative prompt's; 1 leaves that prompt out, at half the work."""
    recache: bool = False
    """Whether a new prompt in mid-rollout is applied to the latent frames in the window as well."""
    eps: float = 1e-6
    """Added to variances before the norms divide by them."""
    weights: str = "random"
    """Weights: "random", an entry of a lock file ("flashdreams_wan:t2v-1.3b"), or a local file or folder."""
    weights_seed: int = 0
    """Seed of random weights."""
    lora: list[str] = field(default_factory=list)
    """LoRA files to merge into the weights, "PATH" or "PATH:SCALE" each."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check_positive("width", "mlp_width", "layers", "heads")
        self._check_positive("text_width", "text_tokens", "image_tokens")
        self._check_even("frequency_width", self.frequency_width)
        self._check_heads()
        for name in ("condition_channels", "image_width"):
            if getattr(self, name) < 0:
                raise FieldValueError(
                    f"{name} is {getattr(self, name)}.",
                    f"{name} is 0 where the model takes none, or positive.",
                    f"Set {name} to 0, for instance.",
                )
        if not math.isfinite(self.guidance_scale):
            raise FieldValueError(
                f"guidance_scale is {self.guidance_scale}.",
                "It is a number: 1 for no guidance, 5 or 6 for Wan's published models.",
                "Set guidance_scale to 5, for instance.",
            )

    @property
    def spatial_patch(self) -> int:
        """Latents of one token, in height and in width."""
        return 2

    @property
    def head_width(self) -> int:
        """Channels of one head."""
        return self.width // self.heads

    @property
    def is_causal(self) -> bool:
        """Whether a chunk looks back at earlier ones, over a KV cache."""
        return self.chunk < self.window

    @property
    def is_guided(self) -> bool:
        """Whether every pass runs twice in one batch, once with the negative prompt."""
        return self.guidance_scale != 1.0

    def weight_references(self) -> list[str]:
        """Entries of lock files that the weights come from."""
        return references_in(self.weights)

    def _check_heads(self) -> None:
        if self.width % self.heads:
            raise FieldValueError(
                f"width is {self.width}, and heads {self.heads}.",
                "The heads share the width evenly.",
                f"Set width to {-(-self.width // self.heads) * self.heads}, for instance.",
            )
        self._check_even("width / heads", self.head_width)

    def _check_even(self, name: str, value: int) -> None:
        if value < 2 or value % 2:
            raise FieldValueError(
                f"{name} is {value}.",
                f"{name} is even: rotations and sinusoids come in pairs.",
                f"Take {max(2, value + value % 2)}, for instance.",
            )
