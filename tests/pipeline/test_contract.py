"""A component that breaks its contract is named, with what would be right."""

import pytest
import torch

from flashdreams.errors import ComponentError, FieldValueError
from flashdreams.infra.config import derive_config
from flashdreams.infra.diffusion.scheduler.base import Scheduler
from flashdreams.infra.encoder.base import Encoder, NullEncoderConfig
from flashdreams.testing.toy import ToyDecoder, ToyTransformer, toy_pipeline_config


class OneChannelFlow(ToyTransformer):
    def predict_flow(self, latents, timestep, cache, control):
        return super().predict_flow(latents, timestep, cache, control)[:, :1]


class GreyDecoder(ToyDecoder):
    def forward(self, latents, state):
        pixels, state = super().forward(latents, state)
        return pixels[:, :1], state


class WideDecoder(ToyDecoder):
    def forward(self, latents, state):
        pixels, state = super().forward(latents, state)
        return torch.cat([pixels, pixels], dim=-1), state


class ForgetfulDecoder(ToyDecoder):
    def forward(self, latents, state):
        return super().forward(latents, state)[0]


class StepsOfNothing(Scheduler):
    def step(self, i, flow, latents, noise, memory):
        return latents


class Uninitialised(Encoder):
    def __init__(self, config):
        pass


def with_target(path, target):
    config = toy_pipeline_config()
    part = config
    for name in path.split("."):
        part = getattr(part, name)
    part._target = target
    return config


@pytest.mark.parametrize(
    ("path", "target", "says"),
    [
        ("diffusion_model.transformer", OneChannelFlow, r"predict_flow returned \[1, 1, 2, 4, 4\]"),
        ("decoder", GreyDecoder, r"GreyDecoder made \[1, 1, 2, 8, 8\](.|\n)*\[1, 3, T, 8, 8\]"),
        ("decoder", WideDecoder, r"WideDecoder made \[1, 3, 2, 8, 16\]"),
        ("decoder", ForgetfulDecoder, "ForgetfulDecoder.forward returned a Tensor"),
    ],
)
def test_wrong_results_are_refused_at_the_first_chunk(path, target, says):
    pipeline = with_target(path, target).setup()
    with pipeline.initialize_cache() as rollout, pytest.raises(ComponentError, match=says):
        pipeline.generate(0, rollout)


@pytest.mark.parametrize(
    ("path", "target", "says"),
    [
        (
            "diffusion_model.scheduler",
            StepsOfNothing,
            r"StepsOfNothing takes no denoising step(.|\n)*set_timesteps",
        ),
        ("encoder", Uninitialised, r"Uninitialised was not initialised(.|\n)*super\(\).__init__"),
        ("encoder", ToyDecoder, "encoder is built by ToyControlEncoderConfig as a ToyDecoder"),
        ("diffusion_model.scheduler", ToyTransformer, "a ToyTransformer"),
    ],
)
def test_wrong_parts_are_refused_when_they_are_built(path, target, says):
    config = with_target(path, target)
    if target in (ToyDecoder, ToyTransformer):
        right = config.decoder if target is ToyDecoder else config.diffusion_model.transformer
        part = config.encoder if path == "encoder" else config.diffusion_model.scheduler
        part._target = type("Built", (), {"__new__": lambda cls, _: right.setup()})
    with pytest.raises(ComponentError, match=says):
        config.setup()


def test_a_decoder_of_other_latents_is_refused_when_the_pipeline_is_built():
    config = derive_config(toy_pipeline_config(), decoder=dict(latent_channels=8))
    with pytest.raises(FieldValueError, match="has 8 latent_channels, the transformer 4"):
        config.setup()


def test_a_null_encoder_streams_and_commits_like_any_other():
    pipeline = derive_config(toy_pipeline_config(), encoder=NullEncoderConfig()).setup()
    with pipeline.initialize_cache() as rollout:
        first = pipeline.generate(0, rollout, input="anything")
        assert torch.equal(first, pipeline.generate(0, rollout, input=None))
        for index in range(3):
            pipeline.generate(index, rollout, input=index)
            pipeline.finalize(index, rollout)
        assert rollout.slot.encoder.state.tolist() == [3]
        fork = rollout.fork()
        assert fork.slot.encoder.state.tolist() == [3]
        fork.close()
