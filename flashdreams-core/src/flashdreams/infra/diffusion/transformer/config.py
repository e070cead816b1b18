"""Config of the transformer. No torch here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from flashdreams.core.window import check_window
from flashdreams.errors import FieldValueError
from flashdreams.infra.config import InstantiateConfig
from flashdreams.infra.encoder.config import EncoderConfig, StreamingEncoderConfig


@dataclass(kw_only=True)
class TransformerConfig(InstantiateConfig):
    """A transformer that predicts the flow of one chunk from the chunks before it."""

    _target: Any = "flashdreams.infra.diffusion.transformer.base:Transformer"

    context_encoder: EncoderConfig | None = None
    """Encodes what is given once per rollout (prompts, first frame) into the transformer's context."""
    latent_channels: int = 16
    """Channels of the latents."""
    chunk: int = 1
    """Latent frames made together in one autoregressive step."""
    window: int = 12
    """Latent frames that attention sees, the sink and the current chunk included."""
    sink: int = 0
    """First latent frames of a rollout that are never forgotten."""
    rope_positions: Literal["absolute", "window"] = "absolute"
    """Cache keys rotated at their absolute position, or raw, rotated relative to the window when read."""
    context_noise: float = 0.0
    """Timestep in [0, 1000] at which finalize writes the clean chunk into the KV cache."""
    attention_backend: str = "auto"
    """Attention implementation by name; "auto" takes the fastest exact one of this machine."""
    cache_dtype: Literal["model", "float8_e4m3fn"] = "model"
    """Keep keys and values in the model's dtype, or in 8 bits with a scale for each token and head."""
    use_cuda_graph: Literal["auto", True, False] = "auto"
    """Replay passes from CUDA graphs: "auto" where a GPU can (a CPU repeats calls), True or fail, or not."""

    @property
    def spatial_patch(self) -> int:
        """Latents of one token, in height and in width; a video's size is a multiple of it."""
        return 1

    def __post_init__(self) -> None:
        self._check_positive("latent_channels", "chunk", "window")
        check_window(self.window, self.sink, self.chunk)
        if isinstance(self.context_encoder, StreamingEncoderConfig):
            raise FieldValueError(
                f"context_encoder is a {type(self.context_encoder).__name__}.",
                "A context encoder is called once per rollout; a streaming one is called with every chunk.",
                "Set the pipeline's encoder to it, and context_encoder to None or to a plain encoder.",
            )
        if not 0.0 <= self.context_noise <= 1000.0:
            raise FieldValueError(
                f"context_noise is {self.context_noise}.",
                "A timestep lies between 0 (clean) and 1000 (pure noise).",
                "Set context_noise within [0, 1000]; 0 is usual.",
            )

    def _check_positive(self, *names: str) -> None:
        for name in names:
            if getattr(self, name) < 1:
                raise FieldValueError(
                    f"{name} is {getattr(self, name)}.",
                    f"{name} counts, so it is 1 or more.",
                    f"Set {name} to at least 1.",
                )
