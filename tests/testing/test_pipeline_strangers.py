"""The contract of pipelines raises no alarm about models that are right, however unlike the toy."""

from dataclasses import dataclass, field
from typing import ClassVar

import torch
from einops import rearrange
from torch import Tensor, nn

from flashdreams.infra.config import derive_config
from flashdreams.infra.decoder.base import Decoder, DecoderConfig
from flashdreams.infra.diffusion.scheduler.config import UniPCSchedulerConfig
from flashdreams.infra.diffusion.transformer.base import TransformerCache
from flashdreams.infra.runner.capabilities import Capabilities
from flashdreams.testing import PipelineContract
from flashdreams.testing.toy import (
    ToyControlEncoder,
    ToyDecoder,
    ToyDecoderConfig,
    ToyTransformer,
    toy_pipeline_config,
)


class Stranger(PipelineContract):
    """The toy with other parts, all of them sound."""

    controls = (0.5, -1.0)
    capabilities = Capabilities(prompts=True, controls=True)
    changes: ClassVar[dict] = {}

    def make_config(self):
        return derive_config(toy_pipeline_config(), **self.changes)

    def conditions(self):
        return {"prompts": ["a road"]}


class TestCacheOfEightBitsAndMultistep(Stranger):
    changes: ClassVar = dict(
        width=16,
        diffusion_model=dict(
            transformer=dict(cache_dtype="float8_e4m3fn"),
            scheduler=UniPCSchedulerConfig(num_inference_steps=3),
        ),
    )
    capabilities = Capabilities(prompts=True, controls=True, batch=False)


class TestClipOfOneChunk(Stranger):
    controls = ()
    capabilities = Capabilities(prompts=True, past=False, chunks=1)
    changes: ClassVar = dict(encoder=None, diffusion_model=dict(transformer=dict(window=2)))


class TestVideoOfTwoChunks(Stranger):
    capabilities = Capabilities(prompts=True, controls=True, chunks=2)


class PlainDecoder(Decoder):
    """Looks at no other frame."""

    def __init__(self, config):
        super().__init__(config)
        self.paint = nn.Conv3d(4, 12, 1)

    def forward(self, latents):
        pixels = torch.tanh(self.paint(latents))
        return rearrange(pixels, "b (c p q) t h w -> b c t (h p) (w q)", p=2, q=2)


class TestPlainDecoder(Stranger):
    changes: ClassVar = dict(decoder=DecoderConfig(_target=PlainDecoder, spatial_compression=2))


@dataclass(kw_only=True)
class FourfoldDecoderConfig(ToyDecoderConfig):
    """Four frames of each latent frame, and one of the first."""

    _target: type = field(default_factory=lambda: FourfoldDecoder)
    temporal_compression: int = 4

    @property
    def first_frames(self):
        return 1


class FourfoldDecoder(ToyDecoder):
    def forward(self, latents, state):
        pixels, last = super().forward(latents, state)
        pixels = pixels.repeat_interleave(4, dim=2)
        return (pixels[:, :, 3:].contiguous() if state is None else pixels), last


class TestFourFramesAndOneAtFirst(Stranger):
    changes: ClassVar = dict(decoder=FourfoldDecoderConfig())


class TreeEncoder(ToyControlEncoder):
    """Trees for encoding and state."""

    def forward(self, input, state):
        steer, new = super().forward(input, None if state is None else state["last"][0])
        return {"steer": steer, "more": [steer]}, {"last": (new,)}


class TreeTransformer(ToyTransformer):
    def predict_flow(self, latents, timestep, cache, control):
        return super().predict_flow(latents, timestep, cache, control["steer"] + control["more"][0])


class TestEncodingIsATree(Stranger):
    def make_config(self):
        config = super().make_config()
        config.encoder._target, config.diffusion_model.transformer._target = TreeEncoder, TreeTransformer
        return config


@dataclass
class RecurrentCache(TransformerCache):
    """The last clean frame, ``[B, C, 1, H, W]``, and no keys or values."""

    last: Tensor = field(default_factory=lambda: torch.empty(0))


class RecurrentTransformer(ToyTransformer):
    def allocate_cache(self, batch_size, latent_shape):
        channels, _, height, width = latent_shape
        return RecurrentCache(past=None, last=torch.zeros(batch_size, channels, 1, height, width))

    def begin_rollout(self, cache, context):
        super().begin_rollout(cache, context)
        cache.last.zero_()

    def remember_chunk(self, latents, cache):
        cache.last.copy_(torch.tanh(latents[:, :, -1:]))

    def write_context(self, latents, cache, control):
        pass

    def predict_flow(self, latents, timestep, cache, control):
        given = self._condition(timestep, cache.context, control, latents.new_zeros(len(latents), 1))
        return latents / 2 + cache.last + self.head(given)[:, :, None, None, None]


class TestRecurrentWithoutKeysAndValues(Stranger):
    def make_config(self):
        config = super().make_config()
        config.diffusion_model.transformer._target = RecurrentTransformer
        return config
