"""A slug with a field of each type, whose runner only says what it was given. Imports no torch."""

import logging
from dataclasses import dataclass, field
from typing import Any, Literal

from flashdreams.errors import FieldValueError, OutputBrokenOffError, OutputError
from flashdreams.infra.config import InstantiateConfig
from flashdreams.infra.decoder.config import DecoderConfig
from flashdreams.infra.diffusion.model.config import DiffusionModelConfig
from flashdreams.infra.diffusion.scheduler.config import SchedulerConfig
from flashdreams.infra.diffusion.transformer.config import TransformerConfig
from flashdreams.infra.encoder.config import EncoderConfig, StreamingEncoderConfig
from flashdreams.infra.pipeline.config import StreamInferencePipelineConfig
from flashdreams.infra.runner.config import RunnerConfig


@dataclass(kw_only=True)
class StepsConfig(SchedulerConfig):
    """Listed steps."""

    denoising_timesteps: list[int] = field(default_factory=lambda: [1000, 500])
    """Timesteps from noise to clean."""
    warp: bool = True
    """Whether the timesteps are warped."""


@dataclass(kw_only=True)
class OneStepConfig(SchedulerConfig):
    """A single step."""

    timestep: float = 1000.0
    """Where the step begins."""


@dataclass(kw_only=True)
class KeysConfig(StreamingEncoderConfig):
    """Keys that are held down."""

    width: int = 8
    """Length of the encoding."""


@dataclass(kw_only=True)
class WordsConfig(EncoderConfig):
    """A vector per prompt."""

    width: int = 16
    """Length of the vector."""


@dataclass(kw_only=True)
class CoarseDecoderConfig(DecoderConfig):
    """One latent for many pixels."""

    spatial_compression: int = 32


@dataclass(kw_only=True)
class ToyRunnerConfig(RunnerConfig):
    """A toy that is run from the command line."""

    _target: Any = "cli_toys:ToyRunner"

    prompts: list[str] = field(default_factory=list)
    """What is to be seen."""
    mode: Literal["report", "fail", "interrupt", "no folder", "full disk"] = "report"
    """What the run does."""
    crop: tuple[int, int] = (0, 0)
    """Pixels cut off above and below."""
    gain: float | None = None
    """Brightness, where it is changed."""
    weights: dict[str, float] = field(default_factory=dict)
    """Weight of each prompt."""
    stages: list[WordsConfig] = field(default_factory=list)
    """Encoders in a row."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.gain is not None and self.gain < 0:
            raise FieldValueError(
                f"gain is {self.gain}.", "It is 0 or more.", "Set --gain to 1, for instance."
            )


class ToyRunner:
    """Prints a line, or ends as its mode says."""

    def __init__(self, config: ToyRunnerConfig) -> None:
        self.config = config

    def run(self) -> None:
        logging.getLogger("toys").info("the run begins")
        match self.config.mode:
            case "fail":
                raise RuntimeError("the model broke")
            case "interrupt":
                raise KeyboardInterrupt
            case "no folder":
                raise OutputError("There is no folder.", "A video needs one.", "Make it.")
            case "full disk":
                raise OutputBrokenOffError("The disk is full.", "A video needs space.", "Make some.")
        print(f"{self.config.total_blocks} blocks, seed {self.config.seed}")


def runner_config() -> ToyRunnerConfig:
    return ToyRunnerConfig(
        runner_name="toy-16px",
        description="A toy of 16 pixels.",
        pipeline=StreamInferencePipelineConfig(
            name="toy",
            encoder=KeysConfig(),
            diffusion_model=DiffusionModelConfig(transformer=TransformerConfig(), scheduler=StepsConfig()),
            height=16,
            width=16,
        ),
    )


def strange_component() -> InstantiateConfig:
    return OneStepConfig()


def command(argv: list[str]) -> int:
    print("command got", argv)
    return 5
