"""Config of the pipeline. No torch here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from flashdreams.errors import FieldValueError
from flashdreams.infra.config import InstantiateConfig
from flashdreams.infra.decoder.config import DecoderConfig
from flashdreams.infra.diffusion.model.config import DiffusionModelConfig
from flashdreams.infra.encoder.config import EncoderConfig


@dataclass(kw_only=True)
class StreamInferencePipelineConfig(InstantiateConfig):
    """Encoder, diffusion model and decoder, run chunk by chunk."""

    _target: Any = "flashdreams.infra.pipeline.base:StreamInferencePipeline"

    name: str
    """What this pipeline is called, in logs and beside its outputs."""
    encoder: EncoderConfig | None = None
    """Encodes the control of each chunk; None means that chunks are not steered."""
    diffusion_model: DiffusionModelConfig
    """Makes the latents of each chunk."""
    decoder: DecoderConfig | None = None
    """Turns latents into pixels; None returns the latents."""
    height: int = 480
    """Height in pixels (of the latents, where there is no decoder), unless a rollout asks for another."""
    width: int = 832
    """Width in pixels (of the latents, where there is no decoder), unless a rollout asks for another."""
    dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    """Floating-point type of weights, latents and pixels."""
    quantise: Literal["none", "fp8", "fp8-weights", "int8-weights"] = "none"
    """Keep the linear layers of the transformer's blocks in 8 bits, or multiply in them too ("fp8"), where
    :meth:`setup` builds the pipeline."""
    slots: int = 4
    """Rollouts that may live at once, each with a KV cache of its own."""

    def __post_init__(self) -> None:
        for name in ("height", "width", "slots"):
            if getattr(self, name) < 1:
                raise FieldValueError(
                    f"{name} is {getattr(self, name)}.",
                    f"{name} is 1 or more.",
                    f"Set {name} to at least 1.",
                )
        self.check_size(self.height, self.width)

    def setup(self, device: str | None = None) -> Any:
        """Build the pipeline, on ``device`` when one is given, and quantise it as the config says.

        Raises:
            TargetError: ``_target`` cannot be imported or is not a class.
        """
        pipeline = super().setup(device)
        if self.quantise != "none":
            # The engine changes a model from outside and lies above it, so it is looked up when it is needed.
            from flashdreams.engine.quantise import quantise_pipeline

            quantise_pipeline(pipeline, self.quantise)
        return pipeline

    def check_size(self, height: int, width: int) -> None:
        """Refuse a size that the decoder cannot produce.

        Raises:
            FieldValueError: Height or width is no multiple of the decoder's spatial compression.
        """
        latent = self.decoder.spatial_compression if self.decoder else 1
        step = latent * self.diffusion_model.transformer.spatial_patch
        if height < step or width < step or height % step or width % step:
            tokens = f", and a token is {step // latent} latents wide" if step > latent else ""
            good = tuple(max(step, round(size / step) * step) for size in (height, width))
            raise FieldValueError(
                f"The size is {height}x{width} pixels (height x width).",
                f"The decoder makes {latent} pixels of each latent{tokens}, so both are multiples of {step}.",
                f"Take {good[0]}x{good[1]}, for instance.",
            )
