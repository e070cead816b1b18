"""Faults in what a chunk is, and in what it depends on."""

import torch

from flashdreams.core.attention import attention
from flashdreams.infra.diffusion.scheduler.fm import FlowMatchScheduler
from flashdreams.testing.toy import ToyDecoder, ToyPromptEncoder, ToyTransformer
from pipeline_mutants.mutant import Mutant


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
