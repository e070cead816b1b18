"""The public API as the user wrote it. No `from __future__ import annotations` here, on purpose."""

from dataclasses import dataclass, field

import pytest
import torch

from flashdreams.infra.config import derive_config
from flashdreams.infra.decoder.base import Decoder, DecoderConfig
from flashdreams.infra.diffusion.model import DiffusionModelConfig
from flashdreams.infra.diffusion.scheduler.fm import FlowMatchSchedulerConfig
from flashdreams.infra.diffusion.transformer.base import Transformer, TransformerConfig
from flashdreams.infra.encoder.base import Encoder, EncoderConfig
from flashdreams.infra.pipeline import StreamInferencePipeline, StreamInferencePipelineConfig


@dataclass(kw_only=True)
class MyEncoderConfig(EncoderConfig):
    """My custom encoder config."""

    _target: type["MyEncoder"] = field(default_factory=lambda: MyEncoder)
    embedding_dim: int = 512
    num_layers: int = 6


class MyEncoder(Encoder):
    config: MyEncoderConfig

    def __init__(self, config: MyEncoderConfig) -> None:
        super().__init__(config)

    def forward(self, input):
        return torch.full((1, self.config.embedding_dim), float(input))


@dataclass(kw_only=True)
class MyPromptEncoderConfig(EncoderConfig):
    _target: type["MyPromptEncoder"] = field(default_factory=lambda: MyPromptEncoder)


class MyPromptEncoder(Encoder):
    def forward(self, conditions):
        return torch.tensor([[float(len(prompt))] for prompt in conditions.prompts])


@dataclass(kw_only=True)
class MyTransformerConfig(TransformerConfig):
    _target: type["MyTransformer"] = field(default_factory=lambda: MyTransformer)
    context_encoder: EncoderConfig | None = field(default_factory=MyPromptEncoderConfig)
    latent_channels: int = 4


class MyTransformer(Transformer):
    config: MyTransformerConfig

    def predict_flow(self, latents, timestep, cache, control):
        drive = 0 if control is None else control.mean()
        return latents * timestep / 1000 + drive + cache.context.mean()


@dataclass(kw_only=True)
class MyDecoderConfig(DecoderConfig):
    _target: type["MyDecoder"] = field(default_factory=lambda: MyDecoder)
    spatial_compression: int = 2


class MyDecoder(Decoder):
    def forward(self, latents):
        return latents[:, :3].repeat_interleave(2, -1).repeat_interleave(2, -2).tanh()


pipeline_config = StreamInferencePipelineConfig(
    name="customized-method-name",
    encoder=MyEncoderConfig(),
    diffusion_model=DiffusionModelConfig(
        transformer=MyTransformerConfig(),
        scheduler=FlowMatchSchedulerConfig(),
    ),
    decoder=MyDecoderConfig(),
)
variant = derive_config(pipeline_config, encoder=dict(embedding_dim=1024))


def test_a_variant_changes_what_it_names_and_nothing_else():
    assert variant.encoder == MyEncoderConfig(embedding_dim=1024)
    assert pipeline_config.encoder == MyEncoderConfig(embedding_dim=512)
    assert derive_config(variant, encoder=dict(embedding_dim=512)) == pipeline_config


def test_setup_builds_the_target_with_its_config():
    pipeline = variant.setup()
    assert type(pipeline) is StreamInferencePipeline
    assert type(pipeline.encoder) is MyEncoder
    assert pipeline.encoder.config.embedding_dim == 1024
    assert type(pipeline.diffusion_model.transformer) is MyTransformer


def test_setup_moves_to_a_device():
    assert pipeline_config.setup(device="meta").device == torch.device("meta")


def test_the_loop_runs_as_written():
    device, controls, shown = "cpu", [0.0, 0.5, 1.0], []
    show = shown.append
    pipeline = derive_config(pipeline_config, height=8, width=8).setup().to(device)
    cache = pipeline.initialize_cache(prompts=["..."], seed=0)
    for index, control in enumerate(controls):
        chunk = pipeline.generate(index, cache, input=control)
        show(chunk)
        pipeline.finalize(index, cache)
    assert [tuple(chunk.shape) for chunk in shown] == [(1, 3, 1, 8, 8)] * 3
    assert all(chunk.isfinite().all() for chunk in shown)

    again = pipeline.initialize_cache(prompts=["..."], seed=0)
    for one, other in zip(shown, pipeline.stream(again, controls), strict=True):
        assert torch.equal(one, other)


def test_classes_defined_inside_a_function():
    @dataclass(kw_only=True)
    class LocalEncoderConfig(EncoderConfig):
        _target: type["LocalEncoder"] = field(default_factory=lambda: LocalEncoder)
        embedding_dim: int = 512

    class LocalEncoder(Encoder):
        def __init__(self, config: LocalEncoderConfig) -> None:
            super().__init__(config)

    local = derive_config(pipeline_config, encoder=LocalEncoderConfig())
    changed = derive_config(local, encoder=dict(embedding_dim=7))
    assert type(changed.encoder.setup()) is LocalEncoder
    assert changed.encoder.setup().config.embedding_dim == 7
    with pytest.raises(TypeError):
        LocalEncoderConfig(7)
