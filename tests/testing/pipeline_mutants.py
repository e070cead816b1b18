"""The toy model with one fault each, and the check that must be the first to fail: no test of its own.

Run by `test_pipeline_mutants.py`, by pytest in another process.
"""

import os
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from flashdreams.core.attention import attention
from flashdreams.errors import FlashDreamsError
from flashdreams.infra.diffusion.scheduler.fm import FlowMatchScheduler
from flashdreams.infra.diffusion.transformer.base import TransformerCache
from flashdreams.infra.pipeline import StreamInferencePipeline
from flashdreams.infra.runner.capabilities import Capabilities
from flashdreams.infra.runner.steerable import Steerable
from flashdreams.infra.runner.steering import Axis, Choice, Steering, Text
from flashdreams.testing import PipelineContract
from flashdreams.testing.contract import skip
from flashdreams.testing.toy import (
    ToyControlEncoder,
    ToyDecoder,
    ToyPromptEncoder,
    ToyTransformer,
    toy_pipeline_config,
)


class Mutant(PipelineContract):
    """The toy with another part."""

    found_by: str
    """The check that names the fault."""
    is_found = False
    pipeline = StreamInferencePipeline
    encoder = ToyControlEncoder
    prompt_encoder = ToyPromptEncoder
    transformer = ToyTransformer
    scheduler = FlowMatchScheduler
    decoder = ToyDecoder
    controls = (0.5, -1.0)
    capabilities = Capabilities(prompts=True, controls=True)

    @contextmanager
    def trial(self):
        """Leave the other checks out once one has failed, unless all are asked for."""
        if type(self).is_found:
            skip("found already")
        try:
            with super().trial() as subject:
                yield subject
        except FlashDreamsError:
            type(self).is_found = "ALL_CHECKS" not in os.environ
            raise

    def make_config(self):
        config = toy_pipeline_config()
        model = config.diffusion_model
        config._target = self.pipeline
        config.encoder._target, config.decoder._target = self.encoder, self.decoder
        model.transformer._target, model.scheduler._target = self.transformer, self.scheduler
        model.transformer.context_encoder._target = self.prompt_encoder
        return config

    def conditions(self):
        return {"prompts": ["a road"]}

    def steerable(self):
        return self.steered_by()

    class steered_by(Steerable):
        def steering(self):
            wheel = Axis(name="steer", low=-2.0)
            new_prompt = Text(name="prompt", longest=20)
            return Steering(axes=(wheel,), prompt=new_prompt)

        def steered(self, values):
            return values["steer"]


class TestNoFault(Mutant):
    found_by = ""


class TestCannotBeBuilt(Mutant):
    found_by = "test_it_can_be_built"

    class decoder(ToyDecoder):
        def __init__(self, config, depth):
            super().__init__(config)


# --- what a chunk is


class TestStretched(Mutant):
    found_by = "test_chunks_have_the_size_that_the_config_says"

    class decoder(ToyDecoder):
        def forward(self, latents, state):
            pixels, state = super().forward(latents, state)
            return pixels.repeat_interleave(2, dim=-1), state


class TestFirstFrameLeftOut(Mutant):
    found_by = "test_the_first_chunk_has_the_frames_that_the_config_says"

    class decoder(ToyDecoder):
        def forward(self, latents, state):
            pixels, new = super().forward(latents, state)
            return (pixels[:, :, 1:] if state is None else pixels), new


class TestFrameTwice(Mutant):
    found_by = "test_later_chunks_have_the_frames_that_the_config_says"

    class decoder(ToyDecoder):
        def forward(self, latents, state):
            pixels, new = super().forward(latents, state)
            return (pixels if state is None else torch.cat([pixels[:, :, :1], pixels], dim=2)), new


class TestDoublePrecision(Mutant):
    found_by = "test_pixels_have_the_dtype_of_the_config"

    class decoder(ToyDecoder):
        def forward(self, latents, state):
            pixels, state = super().forward(latents, state)
            return pixels * torch.ones(1, dtype=torch.float64), state


class TestDividedByZero(Mutant):
    found_by = "test_pixels_are_finite"

    class decoder(ToyDecoder):
        def forward(self, latents, state):
            pixels, new = super().forward(latents, state)
            last = latents[:, :, :1] if state is None else state
            return pixels + 0 * (last - last).reciprocal().mean(), new


class TestPixelsFromZeroToTwo(Mutant):
    found_by = "test_pixels_lie_between_minus_one_and_one"

    class decoder(ToyDecoder):
        def forward(self, latents, state):
            pixels, state = super().forward(latents, state)
            return pixels + 1, state


class TestOneBufferForAllChunks(Mutant):
    found_by = "test_a_chunk_is_never_overwritten"

    class decoder(ToyDecoder):
        def forward(self, latents, state):
            frame = None if state is None else state["last"]
            pixels, last = super().forward(latents, frame)
            if state is None:
                return pixels, {"last": last, "pixels": pixels}
            state["pixels"].copy_(pixels)
            return state["pixels"], {"last": last, "pixels": pixels}


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


# --- noise


class TestDrawsItself(Mutant):
    found_by = "test_the_same_seed_makes_the_same_video"

    class transformer(ToyTransformer):
        def predict_flow(self, latents, timestep, cache, control):
            flow = super().predict_flow(latents, timestep, cache, control)
            return flow + 0.1 * torch.randn_like(flow)


class TestSeedUnused(Mutant):
    found_by = "test_another_seed_makes_another_video"

    class scheduler(FlowMatchScheduler):
        def step(self, i, flow, latents, noise, memory=None):
            generator = torch.Generator().manual_seed(i)
            drawn = [torch.randn(draw.shape, generator=generator) for draw in noise]
            latents = drawn[0] if i == 0 else latents
            return super().step(i, torch.tanh(flow - flow), latents, drawn, memory)


class TestOneDrawForAllSteps(Mutant):
    found_by = "test_every_draw_of_noise_matters"

    class scheduler(FlowMatchScheduler):
        def step(self, i, flow, latents, noise, memory=None):
            return super().step(i, flow, latents, [noise[0]] * len(noise), memory)


# --- what a chunk depends on


class TestAttendsToTheWholeBuffer(Mutant):
    found_by = "test_a_chunk_sees_nothing_that_comes_later"

    class transformer(ToyTransformer):
        def _attend_to(self, past, height, width):
            def attend(layer):
                def with_the_future(q, k, v):
                    layer.write(k, v)
                    return attention(q, *layer.read(None))

                return with_the_future

            return [attend(layer) for layer in past.layers]


class TestForgetsThePast(Mutant):
    found_by = "test_the_past_matters"

    class transformer(ToyTransformer):
        def _attend_to(self, past, height, width):
            return [attention for _ in past.layers]


class TestPromptFromAMemo(Mutant):
    found_by = "test_the_prompt_matters"

    class prompt_encoder(ToyPromptEncoder):
        def __init__(self, config):
            super().__init__(config)
            self.memo = {}

        def forward(self, conditions):
            return self.memo.setdefault(conditions.batch_size, super().forward(conditions))


class TestDeafToControls(Mutant):
    found_by = "test_the_control_matters"

    class transformer(ToyTransformer):
        def take_control(self, cache, index, control):
            return None


# --- batches


class TestMeanOverTheBatch(Mutant):
    found_by = "test_videos_of_a_batch_do_not_see_each_other"

    class transformer(ToyTransformer):
        def predict_flow(self, latents, timestep, cache, control):
            flow = super().predict_flow(latents, timestep, cache, control)
            return flow - 0.1 * flow.mean(dim=(0, 2, 3, 4), keepdim=True)


class TestFirstMemberForAll(Mutant):
    found_by = "test_a_video_of_a_batch_equals_the_same_made_alone"

    class transformer(ToyTransformer):
        def _condition(self, timestep, prompt, control, like):
            condition = super()._condition(timestep, prompt, control, like)
            return condition + 0.1 * like[:1].mean(dim=1)


# --- rollouts


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


# --- graphs and lanes


class TestItem(Mutant):
    found_by = "test_the_host_never_waits"

    class transformer(ToyTransformer):
        def predict_flow(self, latents, timestep, cache, control):
            flow = super().predict_flow(latents, timestep, cache, control)
            return flow * (1.0 if timestep.item() > 500 else 0.5)


class TestList(Mutant):
    found_by = "test_the_host_never_waits"

    class decoder(ToyDecoder):
        def forward(self, latents, state):
            pixels, state = super().forward(latents, state)
            return pixels * (1 - 0.1 * (self.mix.bias.tolist()[0] > 0)), state


class TestMask(Mutant):
    found_by = "test_the_host_never_waits"

    class transformer(ToyTransformer):
        def predict_flow(self, latents, timestep, cache, control):
            flow = super().predict_flow(latents, timestep, cache, control)
            return flow + flow[:1][flow[:1] > 9.0].sum()


class TestMadeInHostMemory(Mutant):
    found_by = "test_the_host_never_waits"

    class transformer(ToyTransformer):
        def predict_flow(self, latents, timestep, cache, control):
            flow = super().predict_flow(latents, timestep, cache, control)
            return flow + torch.tensor([0.5, 0.5]).mean(dim=0, keepdim=True)


class TestGrowingNumber(Mutant):
    found_by = "test_graph_keys_settle"

    class transformer(ToyTransformer):
        def predict_flow(self, latents, timestep, cache, control):
            flow = super().predict_flow(latents, timestep, cache, control)
            return flow + cache.past.index * 1e-3


class TestEndlessKeys(Mutant):
    found_by = "test_graph_keys_settle"

    class transformer(ToyTransformer):
        def graph_key(self, cache):
            return cache.past.index


class TestUploads(Mutant):
    found_by = "test_graph_keys_settle"

    class transformer(ToyTransformer):
        def predict_flow(self, latents, timestep, cache, control):
            flow = super().predict_flow(latents, timestep, cache, control)
            return flow + torch.tensor([0.5], device=flow.device)


class TestOverwritesItsNoise(Mutant):
    found_by = "test_graphs_make_what_the_code_makes"

    class transformer(ToyTransformer):
        def predict_flow(self, latents, timestep, cache, control):
            latents.mul_(0.9)
            return super().predict_flow(latents, timestep, cache, control)

        def write_context(self, latents, cache, control):
            super().write_context(latents.clone(), cache, control)


class Scratch(nn.Module):
    """Goes by way of a buffer that is left as it was found."""

    def __init__(self):
        super().__init__()
        self.register_buffer("room", torch.zeros(1), persistent=False)

    def forward(self, tensor):
        self.room.fill_(0.01)
        result = tensor + self.room
        self.room.zero_()
        return result


class TestOneScratchForTwo(Mutant):
    found_by = "test_decoding_may_run_beside_the_next_chunk"

    class pipeline(StreamInferencePipeline):
        def __init__(self, config):
            super().__init__(config)
            self.diffusion_model.transformer.scratch = self.decoder.scratch = Scratch()

    class transformer(ToyTransformer):
        def predict_flow(self, latents, timestep, cache, control):
            return self.scratch(super().predict_flow(latents, timestep, cache, control))

    class decoder(ToyDecoder):
        def forward(self, latents, state):
            pixels, state = super().forward(latents, state)
            return self.scratch(pixels).clamp(-1, 1), state


# --- what people are offered


class TestPedalWithoutEffect(Mutant):
    found_by = "test_whatever_people_set_steers_a_chunk"

    class steered_by(Mutant.steered_by):
        def steering(self):
            return Steering(axes=(Axis(name="pedal"),))


class TestOptionThatIsNone(Mutant):
    found_by = "test_whatever_people_set_steers_a_chunk"

    class steered_by(Mutant.steered_by):
        def steering(self):
            return Steering(choices=(Choice(name="gear", options=("forward", "reverse")),))

        def steered(self, values):
            return {"forward": 1.0}[values["gear"]]


class TestTextThatIsLost(Mutant):
    found_by = "test_whatever_people_set_steers_a_chunk"

    class steered_by(Mutant.steered_by):
        def steering(self):
            return Steering(texts=(Text(name="words"),))

        def steered(self, values):
            return values.get("words")


class TestLowerThanItGoes(Mutant):
    found_by = "test_whatever_people_set_steers_a_chunk"

    class encoder(ToyControlEncoder):
        def forward(self, input, state):
            if input is not None and input < -1:
                raise ValueError("too far to the left")
            return super().forward(input, state)


class TestStartsNowhere(Mutant):
    found_by = "test_whatever_people_may_begin_with_begins_a_rollout"

    class steered_by(Mutant.steered_by):
        def steering(self):
            return Steering(starts=("nowhere",))


class TestTakesNoImage(Mutant):
    found_by = "test_whatever_people_may_begin_with_begins_a_rollout"

    class steered_by(Mutant.steered_by):
        def steering(self):
            return Steering(image=True, needs_image=True)
