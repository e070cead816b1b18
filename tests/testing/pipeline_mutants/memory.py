"""Faults in what modules and rollouts keep, and in what becomes of it far on."""

from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from flashdreams.infra.diffusion.scheduler.fm import FlowMatchScheduler
from flashdreams.infra.diffusion.transformer.base import TransformerCache
from flashdreams.testing.toy import ToyControlEncoder, ToyDecoder, ToyTransformer
from pipeline_mutants.mutant import Mutant
from pipeline_mutants.remembering import mean

# --- what modules keep


class TestWeightsThatDrift(Mutant):
    found_by = "test_weights_never_change"

    class transformer(ToyTransformer):
        def predict_flow(self, latents, timestep, cache, control):
            self.head.bias.mul_(0.999)
            return super().predict_flow(latents, timestep, cache, control)


class TestRunningStatistics(Mutant):
    found_by = "test_weights_never_change"

    class decoder(ToyDecoder):
        def __init__(self, config):
            super().__init__(config)
            self.register_buffer("mean", torch.zeros(1), persistent=False)

        def forward(self, latents, state):
            self.mean.lerp_(latents.mean(), 0.1)
            return super().forward(latents - self.mean, state)


class TestHiddenState(Mutant):
    found_by = "test_modules_keep_nothing_of_a_rollout"

    class decoder(ToyDecoder):
        last = None

        def forward(self, latents, state):
            pixels, state = super().forward(latents, self.last)
            self.last = state
            return pixels, state


class TestHiddenList(Mutant):
    found_by = "test_modules_keep_nothing_of_a_rollout"

    class encoder(ToyControlEncoder):
        def __init__(self, config):
            super().__init__(config)
            self.seen = []

        def forward(self, input, state):
            self.seen.append(input)
            return super().forward(sum(self.seen) / len(self.seen), state)


class TestGeneratorOfItsOwn(Mutant):
    found_by = "test_modules_keep_nothing_of_a_rollout"

    class scheduler(FlowMatchScheduler):
        def __init__(self, config):
            super().__init__(config)
            self.generator = torch.Generator().manual_seed(0)

        def step(self, i, flow, latents, noise, memory=None):
            drawn = [torch.randn(draw.shape, generator=self.generator) for draw in noise]
            return super().step(i, flow, latents, drawn, memory)


# --- decoding


class TestSeams(Mutant):
    found_by = "test_decoding_chunk_by_chunk_equals_decoding_the_whole"

    class decoder(ToyDecoder):
        def forward(self, latents, state):
            return super().forward(latents, None)


# --- memory and length


@dataclass
class History(TransformerCache):
    """A cache that keeps a number of each chunk in the window, the last one at the end."""

    history: Tensor = field(default_factory=lambda: torch.empty(0))
    last: int = -1


class TestConcatenates(Mutant):
    found_by = "test_memory_does_not_move"

    class transformer(ToyTransformer):
        def allocate_cache(self, batch_size, latent_shape):
            past = super().allocate_cache(batch_size, latent_shape).past
            return History(past=past, history=torch.zeros(batch_size, 3, 1, 1, 1))

        def begin_rollout(self, cache, context):
            super().begin_rollout(cache, context)
            cache.history.zero_()
            cache.last = -1

        def remember_chunk(self, latents, cache):
            again = cache.last == cache.past.index
            older = cache.history[:, :-1] if again else cache.history[:, 1:]
            cache.history = torch.cat([older, mean(latents)], dim=1)
            cache.last = cache.past.index

        def predict_flow(self, latents, timestep, cache, control):
            flow = super().predict_flow(latents, timestep, cache, control)
            return flow + mean(cache.history)


class TestStateThatGrows(Mutant):
    found_by = "test_memory_does_not_move"

    class decoder(ToyDecoder):
        def forward(self, latents, state):
            last = None if state is None else state[:, :, -1:]
            pixels, new = super().forward(latents, last)
            return pixels, new if state is None else torch.cat([state, new], dim=2)


class TestHoards(Mutant):
    found_by = "test_memory_does_not_grow"

    class transformer(ToyTransformer):
        def remember_chunk(self, latents, cache):
            cache.hoard = [*getattr(cache, "hoard", []), latents.clone()]


class TestTableOfPositions(Mutant):
    found_by = "test_far_chunks_are_like_near_ones"

    class transformer(ToyTransformer):
        def __init__(self, config):
            super().__init__(config)
            self.places = nn.Embedding(64, config.width)

        def predict_flow(self, latents, timestep, cache, control):
            flow = super().predict_flow(latents, timestep, cache, control)
            return flow + 0.1 * self.places(cache.past.query_positions).mean()


class TestHalfPrecisionPositions(Mutant):
    found_by = "test_far_chunks_are_like_near_ones"

    class transformer(ToyTransformer):
        def predict_flow(self, latents, timestep, cache, control):
            flow = super().predict_flow(latents, timestep, cache, control)
            place = cache.past.query_positions[-1].to(torch.float16)
            return flow + (place - place).to(flow)
