"""Configs and runner of the comets, in one module that imports everything."""

from dataclasses import dataclass, field

import imageio.v3 as imageio
import torch

from flashdreams.infra.config import derive_config
from flashdreams.infra.diffusion.model import DiffusionModelConfig
from flashdreams.infra.diffusion.scheduler.fm import FlowMatchSchedulerConfig
from flashdreams.infra.encoder.base import Encoder, EncoderConfig
from flashdreams.infra.pipeline import StreamInferencePipelineConfig
from flashdreams.infra.runner import Runner, RunnerConfig
from flashdreams.testing.toy import ToyDecoderConfig, ToyTransformerConfig


@dataclass(kw_only=True)
class TailEncoderConfig(EncoderConfig):
    """How long the tail is."""

    _target: type["TailEncoder"] = field(default_factory=lambda: TailEncoder)
    gain: float = 2.0


class TailEncoder(Encoder):
    config: TailEncoderConfig

    def __init__(self, config: TailEncoderConfig) -> None:
        super().__init__(config)
        self.gain = config.gain

    def forward(self, input):
        return torch.tensor([self.gain * (input or 0.0)])


@dataclass(kw_only=True)
class CometRunnerConfig(RunnerConfig):
    """A comet across the sky."""

    _target: type["CometRunner"] = field(default_factory=lambda: CometRunner)
    prompt: str = "a comet"
    total_blocks: int = 3


class CometRunner(Runner):
    config: CometRunnerConfig

    def run(self):
        cache = self.pipeline.initialize_cache(
            text=[self.config.prompt], seed=self.config.seed, transformer_context={}, encoder_context={}
        )
        videos = []
        for i in range(self.config.total_blocks):
            videos.append(self.pipeline.generate(autoregressive_index=i, cache=cache).cpu())
            self.pipeline.finalize(autoregressive_index=i, cache=cache)
        if self.is_rank_zero:
            self.save(torch.cat(videos, dim=2))

    def save(self, video):
        self.config.output_dir.mkdir(parents=True, exist_ok=True)
        frames = ((video[0].permute(1, 2, 3, 0).float() + 1) * 127.5).round().to(torch.uint8)
        path = self.config.output_dir / f"{self.config.runner_name}.png"
        imageio.imwrite(path, torch.cat(list(frames), dim=1).numpy())
        print(f"saved {len(frames)} frames to {path}")


COMET = CometRunnerConfig(
    runner_name="comet",
    description="A comet across the sky.",
    pipeline=StreamInferencePipelineConfig(
        name="comet",
        encoder=TailEncoderConfig(),
        diffusion_model=DiffusionModelConfig(
            transformer=ToyTransformerConfig(),
            scheduler=FlowMatchSchedulerConfig(denoising_timesteps=[1000, 500]),
        ),
        decoder=ToyDecoderConfig(),
        height=16,
        width=16,
    ),
)

COMET_LONG = derive_config(COMET, runner_name="comet-long", total_blocks=6)
