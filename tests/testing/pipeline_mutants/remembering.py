"""Transformers that keep something beside keys and values, as they should."""

from dataclasses import dataclass, field

import torch
from torch import Tensor

from flashdreams.infra.diffusion.transformer.base import TransformerCache
from flashdreams.testing.toy import ToyTransformer


@dataclass
class Remembering(TransformerCache):
    """A cache with a further tensor, ``[B, 1, 1, 1, 1]``."""

    total: Tensor = field(default_factory=lambda: torch.empty(0))


def mean(latents):
    """Mean of each video."""
    return latents.mean(dim=(1, 2, 3, 4), keepdim=True)


class Remembers(ToyTransformer):
    """Keeps something beside keys and values, as it should: the mean of the last clean chunk."""

    def allocate_cache(self, batch_size, latent_shape):
        past = super().allocate_cache(batch_size, latent_shape).past
        return Remembering(past=past, total=torch.zeros(batch_size, 1, 1, 1, 1))

    def begin_rollout(self, cache, context):
        super().begin_rollout(cache, context)
        cache.total.zero_()

    def remember_chunk(self, latents, cache):
        cache.total.copy_(mean(latents))

    def predict_flow(self, latents, timestep, cache, control):
        return super().predict_flow(latents, timestep, cache, control) + cache.total


class Box:
    """An object that looks after its tensor itself."""

    def __init__(self, tensor):
        self.tensor = tensor

    def snapshot(self):
        return self.tensor.clone()

    def restore(self, saved):
        self.tensor.copy_(saved)

    def state_tensors(self):
        return [self.tensor]


class Boxed(Remembers):
    """Keeps its mean in a box."""

    box = Box

    def allocate_cache(self, batch_size, latent_shape):
        cache = super().allocate_cache(batch_size, latent_shape)
        cache.total = self.box(cache.total)
        return cache

    def begin_rollout(self, cache, context):
        ToyTransformer.begin_rollout(self, cache, context)
        cache.total.tensor.zero_()

    def remember_chunk(self, latents, cache):
        cache.total.tensor.copy_(mean(latents))

    def predict_flow(self, latents, timestep, cache, control):
        flow = ToyTransformer.predict_flow(self, latents, timestep, cache, control)
        return flow + cache.total.tensor
