"""A toy world model: everything a real one has, at a few thousand random parameters.

It shows every part of the framework at work (prompts, control, KV cache, streaming decoder) in less
than a page each, and it is what the framework's own tests run. Weights are random, from ``weights_seed``.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from flashdreams.core.kv_cache import KVCache
from flashdreams.core.layer_cache import LayerCache
from flashdreams.core.rope import apply_rope, rope_angles
from flashdreams.infra.conditions import Conditions
from flashdreams.infra.decoder.base import StreamingDecoder, StreamingDecoderConfig
from flashdreams.infra.diffusion.model.config import DiffusionModelConfig
from flashdreams.infra.diffusion.scheduler.config import FlowMatchSchedulerConfig
from flashdreams.infra.diffusion.transformer.base import Transformer, TransformerCache, TransformerConfig
from flashdreams.infra.encoder.base import Encoder, EncoderConfig, StreamingEncoder, StreamingEncoderConfig
from flashdreams.infra.pipeline import StreamInferencePipelineConfig


@contextmanager
def seeded_weights(seed: int) -> Iterator[None]:
    """Random initialisation from ``seed`` inside, the caller's random state untouched outside."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


@dataclass(kw_only=True)
class ToyPromptEncoderConfig(EncoderConfig):
    """One vector per prompt."""

    _target: Any = field(default_factory=lambda: ToyPromptEncoder)
    width: int = 16
    """Length of the vector."""


class ToyPromptEncoder(Encoder):
    """Gives each prompt a vector of its own, ``[B, width]``; no prompt is the empty prompt."""

    config: ToyPromptEncoderConfig
    takes = frozenset({"prompts"})

    def forward(self, conditions: Conditions) -> Tensor:
        """Embed the prompts of a rollout, float32 ``[B, width]``."""
        prompts = conditions.prompts or [""] * conditions.batch_size
        return torch.stack([self._embed(prompt) for prompt in prompts])

    def _embed(self, prompt: str) -> Tensor:
        generator = torch.Generator().manual_seed(zlib.crc32(prompt.encode()))
        return torch.randn(self.config.width, generator=generator)


@dataclass(kw_only=True)
class ToyControlEncoderConfig(StreamingEncoderConfig):
    """A running mean of the controls."""

    _target: Any = field(default_factory=lambda: ToyControlEncoder)
    inertia: float = 0.5
    """Share of the last chunk's encoding that is kept."""


class ToyControlEncoder(StreamingEncoder):
    """A number per chunk (None is 0), smoothed over chunks: float32 ``[1]``."""

    config: ToyControlEncoderConfig

    def forward(self, input: Any, state: Tensor | None) -> tuple[Tensor, Tensor]:
        """Return the smoothed control twice: as this chunk's encoding and as the next state."""
        device = None if state is None else state.device
        control = torch.tensor([0.0 if input is None else float(input)], device=device)
        if state is not None:
            control = (1 - self.config.inertia) * control + self.config.inertia * state
        return control, control.clone()


@dataclass(kw_only=True)
class ToyTransformerConfig(TransformerConfig):
    """A causal transformer of a few thousand parameters."""

    _target: Any = field(default_factory=lambda: ToyTransformer)
    context_encoder: EncoderConfig | None = field(default_factory=ToyPromptEncoderConfig)
    latent_channels: int = 4
    chunk: int = 2
    window: int = 6
    width: int = 16
    """Width of the tokens."""
    heads: int = 2
    """Attention heads."""
    layers: int = 2
    """Transformer blocks."""
    weights_seed: int = 0
    """Seed of the random weights."""


Attend = Callable[[Tensor, Tensor, Tensor], Tensor]
"""Queries, keys and values ``[B, L, heads, head_dim]`` of the chunk, to what the queries read in a layer."""


class ToyBlock(nn.Module):
    """Attention over past and present, then an MLP."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.mlp = nn.Sequential(nn.Linear(width, 2 * width), nn.SiLU(), nn.Linear(2 * width, width))

    def forward(self, tokens: Tensor, attend: Attend) -> Tensor:
        """Tokens ``[B, L, width]`` to tokens."""
        q, k, v = self.qkv(tokens).unflatten(-1, (3, self.heads, -1)).unbind(2)
        tokens = tokens + self.out(attend(q, k, v).flatten(2))
        tokens = tokens + self.mlp(F.layer_norm(tokens, tokens.shape[-1:]))
        return tokens


class ToyTransformer(Transformer):
    """Tokens are single latents; control, prompt and timestep are added to each."""

    config: ToyTransformerConfig

    def __init__(self, config: ToyTransformerConfig) -> None:
        super().__init__(config)
        width = config.width
        with seeded_weights(config.weights_seed):
            self.embed = nn.Linear(config.latent_channels, width)
            self.condition = nn.Linear(16 + 2, width)
            self.blocks = nn.ModuleList(ToyBlock(width, config.heads) for _ in range(config.layers))
            self.head = nn.Linear(width, config.latent_channels)

    def allocate_cache(self, batch_size: int, latent_shape: tuple[int, int, int, int]) -> TransformerCache:
        """One KV cache."""
        config, weight = self.config, self.embed.weight
        past = KVCache(
            layers=config.layers,
            batch_size=batch_size,
            heads=config.heads,
            head_dim=config.width // config.heads,
            frame_tokens=latent_shape[2] * latent_shape[3],
            window=config.window,
            sink=config.sink,
            chunk=config.chunk,
            dtype=weight.dtype,
            device=weight.device,
            rope_positions=config.rope_positions,
            cache_dtype=config.cache_dtype,
        )
        return TransformerCache(past=past)

    def predict_flow(
        self, latents: Tensor, timestep: Tensor, cache: TransformerCache, control: Any
    ) -> Tensor:
        """Predict the flow of one chunk."""
        past = cache.past
        if past is None:
            raise TypeError("ToyTransformer needs the cache that it allocated.")
        frames, height, width = latents.shape[2:]
        tokens = self.embed(rearrange(latents, "b c t h w -> b (t h w) c"))
        tokens = tokens + self._condition(timestep, cache.context, control, tokens).unsqueeze(1)
        for block, attend in zip(self.blocks, self._attend_to(past, height, width), strict=True):
            tokens = block(tokens, attend)
        flow: Tensor = self.head(tokens)
        return rearrange(flow, "b (t h w) c -> b c t h w", t=frames, h=height, w=width).contiguous()

    def _attend_to(self, past: KVCache, height: int, width: int) -> list[Attend]:
        """For each layer, attention over what the cache holds, the current chunk written first."""
        raw_keys = self.config.rope_positions == "window"
        here = self._angles(past.query_positions, height, width)
        cos, sin = self._angles(past.key_positions, height, width) if raw_keys else here

        def turn(keys: Tensor) -> Tensor:
            return apply_rope(keys, cos[: keys.shape[1]], sin[: keys.shape[1]])

        def attend(layer: LayerCache, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
            turned, backend = apply_rope(q, *here), self.config.attention_backend
            if raw_keys:
                return layer.attend(turned, k, v, backend=backend, turn=turn)
            return layer.attend(turned, apply_rope(k, *here), v, backend=backend)

        return [partial(attend, layer) for layer in past.layers]

    def _condition(self, timestep: Tensor, prompt: Tensor, control: Tensor | None, like: Tensor) -> Tensor:
        batch = like.shape[0]
        steer = like.new_zeros(1) if control is None else control.to(like.dtype)
        noise_level = (timestep / 1000).to(like.dtype)
        parts = [prompt.to(like.dtype), noise_level.expand(batch, 1), steer.view(-1, 1).expand(batch, 1)]
        condition: Tensor = self.condition(torch.cat(parts, dim=-1))
        return condition

    def _angles(self, frames: Tensor, height: int, width: int) -> tuple[Tensor, Tensor]:
        return rope_angles(frames, height, width, head_dim=self.config.width // self.config.heads)


@dataclass(kw_only=True)
class ToyDecoderConfig(StreamingDecoderConfig):
    """A causal decoder: every pixel frame looks back at the latent frame before it."""

    _target: Any = field(default_factory=lambda: ToyDecoder)
    spatial_compression: int = 2
    temporal_compression: int = 1
    latent_channels: int = 4
    """Channels of the latents."""
    weights_seed: int = 1
    """Seed of the random weights."""


class ToyDecoder(StreamingDecoder):
    """One causal convolution in time, then pixels out of channels."""

    config: ToyDecoderConfig

    def __init__(self, config: ToyDecoderConfig) -> None:
        super().__init__(config)
        with seeded_weights(config.weights_seed):
            self.mix = nn.Conv3d(config.latent_channels, 3 * config.spatial_compression**2, (2, 1, 1))

    def forward(self, latents: Tensor, state: Tensor | None) -> tuple[Tensor, Tensor]:
        """Decode a chunk; the state is the last latent frame, ``[B, C, 1, H, W]``."""
        last = latents[:, :, :1] if state is None else state
        frames = self.mix(torch.cat([last, latents], dim=2))
        scale = self.config.spatial_compression
        pixels = rearrange(frames, "b (c p q) t h w -> b c t (h p) (w q)", p=scale, q=scale)
        return torch.tanh(pixels), latents[:, :, -1:].clone()


def toy_pipeline_config() -> StreamInferencePipelineConfig:
    """A pipeline of toys: chunks of 2 latent frames, 8 x 8 pixels."""
    return StreamInferencePipelineConfig(
        name="toy",
        encoder=ToyControlEncoderConfig(),
        diffusion_model=DiffusionModelConfig(
            transformer=ToyTransformerConfig(),
            scheduler=FlowMatchSchedulerConfig(denoising_timesteps=[1000, 500]),
        ),
        decoder=ToyDecoderConfig(),
        height=8,
        width=8,
    )
