"""Slugs that are planned, found through FLASHDREAMS_RUNNER_CONFIGS."""

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from flashdreams.errors import ControlError, InputError
from flashdreams.infra.config import derive_config
from flashdreams.infra.config.placement import placement
from flashdreams.infra.decoder.base import Decoder, DecoderConfig
from flashdreams.infra.encoder.base import Encoder, EncoderConfig
from flashdreams.infra.runner import Runner, RunnerConfig
from flashdreams.testing.toy import toy_pipeline_config

TOY = RunnerConfig(runner_name="toy", description="A toy.", pipeline=toy_pipeline_config(), device="cpu")
WIDE = derive_config(
    TOY,
    runner_name="wide",
    pipeline=dict(
        height=128, width=128, diffusion_model=dict(transformer=dict(width=256, heads=8, layers=3))
    ),
)


@dataclass(kw_only=True)
class SecretiveEncoderConfig(EncoderConfig):
    """A context that depends on values."""

    _target: Any = field(default_factory=lambda: SecretiveEncoder)


class SecretiveEncoder(Encoder):
    takes = frozenset({"prompts"})

    def __init__(self, config):
        super().__init__(config)
        self.table = nn.Linear(4, 16)

    def forward(self, conditions):
        context = self.table(torch.ones(1, 4, device=self.table.weight.device))
        if context.sum() > 0:  # asks for a value
            context = -context
        return context


SECRETIVE = derive_config(
    TOY,
    runner_name="secretive",
    pipeline=dict(diffusion_model=dict(transformer=dict(context_encoder=SecretiveEncoderConfig()))),
)


@dataclass(kw_only=True)
class NeedyEncoderConfig(EncoderConfig):
    """A control that must be given."""

    _target: Any = field(default_factory=lambda: NeedyEncoder)


class NeedyEncoder(Encoder):
    def forward(self, input):
        if input is None:
            raise ControlError("No control was given.", "A number steers each chunk.", "Give 0.")
        return torch.tensor([float(input)])


NEEDY = derive_config(TOY, runner_name="needy", pipeline=dict(encoder=NeedyEncoderConfig()))


@dataclass(kw_only=True)
class PromisedEncoderConfig(EncoderConfig):
    """A large encoder that is loaded for a moment, from a file that is nowhere."""

    _target: Any = field(default_factory=lambda: PromisedEncoder)
    weights: str = "no_such_package:no-such-entry"
    """Weights that nobody has."""


class PromisedEncoder(Encoder):
    takes = frozenset({"prompts", "first_frame"})

    def transient(self):
        with torch.device("meta"):
            return {"text": nn.Linear(2048, 1024, bias=False, dtype=torch.float32)}

    def forward(self, conditions):
        if placement().device != "meta" and conditions.first_frame is None:
            raise InputError("There is no first frame.", "It begins with one.", "Give one.")
        return torch.zeros(conditions.batch_size, 16, device=conditions.first_frame.device)


class PromisedRunner(Runner):
    def conditions(self):
        raise InputError("No image was named.", "It begins with one.", "Name it with --image.")


@dataclass(kw_only=True)
class PromisedRunnerConfig(RunnerConfig):
    """Needs an image to run, and none to be planned."""

    _target: Any = field(default_factory=lambda: PromisedRunner)


PROMISED = PromisedRunnerConfig(
    runner_name="promised",
    pipeline=derive_config(
        toy_pipeline_config(), diffusion_model=dict(transformer=dict(context_encoder=PromisedEncoderConfig()))
    ),
    device="cpu",
)

HALF = derive_config(WIDE, runner_name="half", pipeline=dict(dtype="bfloat16"))


@dataclass(kw_only=True)
class TiledDecoderConfig(DecoderConfig):
    """A decoder that takes much memory, a tile at a time."""

    _target: Any = field(default_factory=lambda: TiledDecoder)
    spatial_compression: int = 2
    latent_channels: int = 4
    """Channels of the latents."""
    width: int = 512
    """Channels inside."""
    tile: int = 0
    """Side of a tile in pixels; 0 decodes whole frames."""


class TiledDecoder(Decoder):
    def __init__(self, config):
        super().__init__(config)
        self.up = nn.Conv3d(config.latent_channels, config.width, 1)
        self.down = nn.Conv3d(config.width, 12, 1)

    def forward(self, latents: Tensor) -> Tensor:
        side = self.config.tile // 2 or max(latents.shape[-2:])
        rows = [
            torch.cat([self._tile(t) for t in row.split(side, -1)], -1) for row in latents.split(side, -2)
        ]
        return torch.cat(rows, -2)

    def _tile(self, latents: Tensor) -> Tensor:
        b, _, t, h, w = latents.shape
        frames = self.down(self.up(latents)).view(b, 3, 2, 2, t, h, w)
        return frames.permute(0, 1, 4, 5, 2, 6, 3).reshape(b, 3, t, 2 * h, 2 * w)


TILED = derive_config(
    TOY, runner_name="tiled", pipeline=dict(height=512, width=512, decoder=TiledDecoderConfig())
)
TILED.pipeline.diffusion_model.transformer.layers = 1
TILED.pipeline.diffusion_model.transformer.window = 4


@dataclass(kw_only=True)
class ThinDecoderConfig(TiledDecoderConfig):
    """The same latents, decoded by less."""

    width: int = 8


def broken_decoder():
    raise RuntimeError("nobody can load this")
