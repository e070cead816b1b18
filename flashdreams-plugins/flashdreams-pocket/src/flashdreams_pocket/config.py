"""Configs of pocket-racer and its variants. No torch here."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from flashdreams.errors import FieldValueError
from flashdreams.infra.config import derive_config
from flashdreams.infra.decoder.config import DecoderConfig
from flashdreams.infra.diffusion.model.config import DiffusionModelConfig
from flashdreams.infra.diffusion.scheduler.config import FlowMatchSchedulerConfig
from flashdreams.infra.diffusion.transformer.config import TransformerConfig
from flashdreams.infra.encoder.config import EncoderConfig
from flashdreams.infra.pipeline.config import StreamInferencePipelineConfig
from flashdreams.infra.runner.config import RunnerConfig

FRAME_SIZE = 64
"""Height and width of a pixel frame."""
FRAMES_PER_SECOND = 50 / 3
"""Pixel frames: the environment runs at 50 steps a second, and a pixel frame is 3 steps."""


@dataclass(kw_only=True)
class DriveControlEncoderConfig(EncoderConfig):
    """Steer, gas and brake of one pixel frame."""

    _target: Any = "flashdreams_pocket.encoders:DriveControlEncoder"


@dataclass(kw_only=True)
class StartClipEncoderConfig(EncoderConfig):
    """The pixel frames that a dream starts from, as latents."""

    _target: Any = "flashdreams_pocket.encoders:StartClipEncoder"

    start: str = "straight"
    """Shipped start clip that is taken where a rollout is given no first frame."""
    weights: str = "shipped"
    """Weights of the encoder of pixel frames: "shipped", "random", or a safetensors file."""


@dataclass(kw_only=True)
class RacerTransformerConfig(TransformerConfig):
    """The causal world model of CarRacing-v3: 16 tokens a latent frame, one latent frame a chunk."""

    _target: Any = "flashdreams_pocket.transformer:RacerTransformer"

    context_encoder: EncoderConfig | None = field(default_factory=StartClipEncoderConfig)
    latent_channels: int = 8
    window: int = 12
    layers: int = 6
    """Transformer blocks; the shipped weights have 6."""
    width: int = 256
    """Width of the tokens; the shipped weights have 256."""
    heads: int = 4
    """Attention heads; the shipped weights have 4."""
    weights: str = "shipped"
    """Weights of the transformer: "shipped", "random", or a safetensors file."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.chunk != 1:
            raise FieldValueError(
                f"chunk is {self.chunk}.",
                "pocket-racer predicts each latent frame from the one before it, one per chunk.",
                "Leave chunk at 1.",
            )
        if self.rope_positions != "absolute":
            raise FieldValueError(
                f"rope_positions is {self.rope_positions!r}.",
                "pocket-racer caches rotated keys; its positions may grow without bound as they are.",
                "Leave rope_positions at absolute.",
            )


@dataclass(kw_only=True)
class RacerDecoderConfig(DecoderConfig):
    """The convolutional decoder: each latent frame by itself to a pixel frame."""

    _target: Any = "flashdreams_pocket.decoder:RacerDecoder"

    weights: str = "shipped"
    """Weights of the decoder: "shipped", "random", or a safetensors file."""


@dataclass(kw_only=True)
class RacerRunnerConfig(RunnerConfig):
    """A dreamt drive, steered by a script, a file or a scripted driver."""

    _target: Any = "flashdreams_pocket.runner:RacerRunner"

    controls: str = "policy:steady"
    """Script ("gas*20, gas+left*10, straight*30"), CSV, NPZ, or policy:NAME (steady, fast, weaver)."""
    first_frame: str | None = None
    """Image file, or name of a shipped start clip; None takes the start clip of the context encoder."""
    scale: int = 6
    threads: int | None = 1
    total_blocks: int = 167
    fps: float = FRAMES_PER_SECOND


POCKET_RACER = RacerRunnerConfig(
    runner_name="pocket-racer",
    description="Drive a dreamt race car: a world model of CarRacing-v3 for one CPU core.",
    pipeline=StreamInferencePipelineConfig(
        name="pocket-racer",
        encoder=DriveControlEncoderConfig(),
        diffusion_model=DiffusionModelConfig(
            transformer=RacerTransformerConfig(context_noise=80.0),
            scheduler=FlowMatchSchedulerConfig(denoising_timesteps=[1000.0, 750.0], warp=False),
        ),
        decoder=RacerDecoderConfig(),
        height=FRAME_SIZE,
        width=FRAME_SIZE,
    ),
)

POCKET_RACER_FINE = derive_config(
    POCKET_RACER,
    runner_name="pocket-racer-fine",
    description="The same weights in 4 denoising steps a pixel frame, for comparison.",
    pipeline=dict(
        name="pocket-racer-fine",
        diffusion_model=dict(
            transformer=dict(context_noise=130.0),
            scheduler=dict(denoising_timesteps=[1000.0, 900.0, 750.0, 500.0]),
        ),
    ),
)
