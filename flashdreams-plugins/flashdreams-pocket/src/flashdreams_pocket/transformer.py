"""The world model as a transformer of FlashDreams: one frame per chunk, over a KV cache."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import Any, cast

import torch
from torch import Tensor

from flashdreams.core.kv_cache import KVCache
from flashdreams.errors import FieldValueError
from flashdreams.infra.diffusion.transformer.base import Transformer, TransformerCache
from flashdreams_pocket.autoencoder import LATENT_SIZE
from flashdreams_pocket.config import FRAME_SIZE, RacerTransformerConfig
from flashdreams_pocket.network import FRAME_TOKENS, Attend, RacerDiT
from flashdreams_pocket.shipped import load_part

DOWN = FRAME_SIZE // LATENT_SIZE
"""Pixels per latent."""


@dataclass
class RacerCache(TransformerCache):
    """Beside keys and values: the last clean frame, which the next one is predicted from."""

    previous: Tensor = field(default_factory=lambda: torch.empty(0))
    """Clean latents of the last frame, ``[B, 8, 1, 8, 8]``."""

    @property
    def kv(self) -> KVCache:
        """The KV cache, which every rollout of this model has."""
        return cast(KVCache, self.past)


class RacerTransformer(Transformer):
    """Predicts the flow of the next frame from the frames in its window and the controls."""

    config: RacerTransformerConfig

    def __init__(self, config: RacerTransformerConfig) -> None:
        super().__init__(config)
        build = partial(
            RacerDiT,
            latent_channels=config.latent_channels,
            width=config.width,
            layers=config.layers,
            heads=config.heads,
        )
        self.dit = load_part(build, "dit", config.weights)

    def latent_shape(self, height: int, width: int) -> tuple[int, int, int, int]:
        """Shape of a frame's latents, ``(8, 1, 8, 8)``: the model knows no other size.

        Raises:
            FieldValueError: Another size was asked for.
        """
        if (height, width) != (LATENT_SIZE, LATENT_SIZE):
            raise FieldValueError(
                f"A video of {height * DOWN} x {width * DOWN} pixels was asked for.",
                f"pocket-racer dreams {FRAME_SIZE} x {FRAME_SIZE} pixels, and no other size.",
                f"Leave height and width at {FRAME_SIZE} (without a decoder, at {LATENT_SIZE} latents).",
            )
        return super().latent_shape(height, width)

    def allocate_cache(self, batch_size: int, latent_shape: tuple[int, int, int, int]) -> RacerCache:
        """A KV cache over the window, and the place of the last clean frame."""
        config, weight = self.config, next(self.dit.parameters())
        past = KVCache(
            layers=config.layers,
            batch_size=batch_size,
            heads=config.heads,
            head_dim=config.width // config.heads,
            frame_tokens=FRAME_TOKENS,
            window=config.window,
            sink=config.sink,
            chunk=config.chunk,
            dtype=weight.dtype,
            device=weight.device,
            rope_positions=config.rope_positions,
            cache_dtype=config.cache_dtype,
        )
        return RacerCache(past=past, previous=weight.new_zeros(batch_size, *latent_shape))

    def begin_rollout(self, cache: TransformerCache, context: Any) -> None:
        """Let the model see the frames that the dream starts from."""
        super().begin_rollout(cache, context)
        _racer(cache).previous.zero_()
        latents, controls = cache.context["latents"], cache.context["controls"]
        for index in range(latents.shape[2]):
            self.begin_chunk(cache, index)
            frame = latents[:, :, index : index + 1].contiguous()  # laid out like a generated one
            self.write_context(frame, cache, controls[:, index])
            self.remember_chunk(frame, cache)
        cache.primed = latents.shape[2]

    def predict_flow(
        self, latents: Tensor, timestep: Tensor, cache: TransformerCache, control: Any
    ) -> Tensor:
        """Flow of the frame: the network predicts the clean frame, and the flow leads away from it."""
        clean = self._predict_clean(latents, timestep, cache, control)
        return (latents - clean) * (1000 / timestep.clamp_min(1)).to(latents.dtype)

    def write_context(self, latents: Tensor, cache: TransformerCache, control: Any) -> None:
        """One pass for its keys and values alone; the clean frame has no flow to predict."""
        timestep = torch.full((1,), self.config.context_noise, device=latents.device)
        self._predict_clean(latents, timestep, cache, control)

    def remember_chunk(self, latents: Tensor, cache: TransformerCache) -> None:
        """Keep the clean frame for the next one."""
        _racer(cache).previous.copy_(latents)

    def _predict_clean(
        self, latents: Tensor, timestep: Tensor, cache: TransformerCache, control: Any
    ) -> Tensor:
        racer, batch = _racer(cache), latents.shape[0]
        past = racer.kv
        clean = self.dit(
            latents,
            timestep.expand(batch, 1),
            self._per_member(control, latents),
            racer.previous,
            past.query_positions,
            self._attend_to(past),
        )
        return cast(Tensor, clean)

    def _per_member(self, control: Tensor | None, latents: Tensor) -> Tensor:
        """Controls ``[B, 1, 3]`` from one control, one per member, or None, which steers nowhere."""
        steer = latents.new_zeros(1, 3) if control is None else control.to(latents.dtype)
        return steer.view(-1, 1, 3).expand(latents.shape[0], 1, 3)

    def _attend_to(self, past: KVCache) -> list[Attend]:
        """For each layer, attention over what is cached, the frame's own keys and values written first."""
        backend = self.config.attention_backend
        return [partial(layer.attend, backend=backend) for layer in past.layers]


def _racer(cache: TransformerCache) -> RacerCache:
    if not isinstance(cache, RacerCache):
        raise TypeError(f"RacerTransformer needs the cache that it allocated, not {type(cache).__name__}.")
    return cache
