"""The slugs: a pipeline put together part by part, and one that is derived from it."""

from __future__ import annotations

from flashdreams.infra.config import derive_config
from flashdreams.infra.diffusion.model import DiffusionModelConfig
from flashdreams.infra.diffusion.scheduler.fm import FlowMatchSchedulerConfig
from flashdreams.infra.pipeline import StreamInferencePipelineConfig
from flashdreams_night_drive.headlights import NightDecoderConfig
from flashdreams_night_drive.steering import SlowWheelEncoderConfig
from flashdreams_pocket.config import FRAME_SIZE, RacerRunnerConfig, RacerTransformerConfig

NIGHT_DRIVE = RacerRunnerConfig(
    runner_name="night-drive",
    description="A dreamt drive by night.",
    pipeline=StreamInferencePipelineConfig(
        name="night-drive",
        encoder=SlowWheelEncoderConfig(),
        diffusion_model=DiffusionModelConfig(
            transformer=RacerTransformerConfig(context_noise=80.0),
            scheduler=FlowMatchSchedulerConfig(denoising_timesteps=[1000.0, 750.0], warp=False),
        ),
        decoder=NightDecoderConfig(),
        height=FRAME_SIZE,
        width=FRAME_SIZE,
    ),
    controls="gas=0.3*20, gas=0.1+left=0.1*3, gas=0.1+right=0.1*3, gas=0.2*19",
    total_blocks=45,
)


def night_drive_moon() -> RacerRunnerConfig:
    """The same drive under a full moon: a slug may also be a function that returns its config."""
    return derive_config(
        NIGHT_DRIVE,
        runner_name="night-drive-moon",
        description="A dreamt drive under a full moon.",
        pipeline=dict(name="night-drive-moon", decoder=dict(daylight=0.35)),
    )
