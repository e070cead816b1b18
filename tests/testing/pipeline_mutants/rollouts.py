"""Faults that show when there are several rollouts, when steps are repeated, and in copies."""

import torch

from flashdreams.infra.pipeline import StreamInferencePipeline
from flashdreams.testing.toy import ToyTransformer
from pipeline_mutants.mutant import Mutant
from pipeline_mutants.remembering import Box, Boxed, Remembers, mean

# --- rollouts


class TestNeverReset(Mutant):
    found_by = "test_a_used_slot_is_as_good_as_a_new_one"

    class transformer(Remembers):
        def begin_rollout(self, cache, context):
            ToyTransformer.begin_rollout(self, cache, context)


class TestPromptOfTheSlot(Mutant):
    found_by = "test_the_prompt_of_the_last_rollout_leaves_no_trace"

    class transformer(ToyTransformer):
        def begin_rollout(self, cache, context):
            super().begin_rollout(cache, context if cache.context is None else cache.context)


class TestOneCacheForAll(Mutant):
    found_by = "test_rollouts_side_by_side_do_not_see_each_other"

    class transformer(ToyTransformer):
        def __init__(self, config):
            super().__init__(config)
            caches = {}
            allocate = super().allocate_cache
            self.shared = lambda size, shape: caches.setdefault(size, allocate(size, shape))

        def allocate_cache(self, batch_size, latent_shape):
            return self.shared(batch_size, latent_shape)


# --- steps


class TestAnyOrder(Mutant):
    found_by = "test_steps_out_of_order_are_refused"

    class pipeline(StreamInferencePipeline):
        def generate(self, autoregressive_index, cache, input=None):
            cache.next_index = autoregressive_index
            return super().generate(autoregressive_index, cache, input)


class TestAddsUp(Mutant):
    found_by = "test_generate_may_be_repeated"

    class transformer(Remembers):
        def begin_chunk(self, cache, index):
            super().begin_chunk(cache, index)
            cache.total += 0.1


class TestStrongestControl(Mutant):
    found_by = "test_a_control_that_was_taken_back_leaves_no_trace"

    class transformer(Remembers):
        def remember_chunk(self, latents, cache):
            pass

        def take_control(self, cache, index, control):
            cache.total.copy_(torch.maximum(cache.total, control.abs()))
            return control


class TestCountsItsPasses(Mutant):
    found_by = "test_a_generate_that_failed_may_be_repeated"

    class transformer(Remembers):
        def remember_chunk(self, latents, cache):
            pass

        def predict_flow(self, latents, timestep, cache, control):
            flow = super().predict_flow(latents, timestep, cache, control)
            cache.total.copy_(1 - cache.total)
            return flow

        def write_context(self, latents, cache, control):
            super().write_context(latents, cache, control)
            cache.total.copy_(1 - cache.total)


class TestFinalizeAddsUp(Mutant):
    found_by = "test_a_finalize_that_failed_may_be_repeated"

    class transformer(Remembers):
        def remember_chunk(self, latents, cache):
            cache.total += mean(latents)


# --- copies


class TestUndeclaredField(Mutant):
    found_by = "test_a_snapshot_goes_on_as_its_rollout_did"

    class transformer(ToyTransformer):
        def begin_rollout(self, cache, context):
            super().begin_rollout(cache, context)
            cache.last = torch.zeros(cache.past.keys.shape[1], 1, 1, 1, 1)

        def remember_chunk(self, latents, cache):
            cache.last.copy_(mean(latents))

        def predict_flow(self, latents, timestep, cache, control):
            return super().predict_flow(latents, timestep, cache, control) + cache.last


class TestAdoptsTheSnapshot(Mutant):
    found_by = "test_forks_go_their_own_ways"

    class transformer(Boxed):
        class box(Box):
            def restore(self, saved):
                self.tensor = saved


class TestLeftBehind(Mutant):
    found_by = "test_a_rollout_can_move_to_another_slot"

    class transformer(Boxed):
        class box(Box):
            def take(self, other):
                pass
