"""The product's path (one frame at a time over a KV cache) against its two slow twins."""

import numpy as np
import pytest
import torch

from flashdreams.infra.config import derive_config
from flashdreams_pocket.config import POCKET_RACER
from flashdreams_pocket.train.dream import NetworkDreamer
from flashdreams_pocket.train.product import PipelineDreamer
from flashdreams_pocket.train.train_world_model import MaskedPass

FRAMES = 16


@pytest.fixture(scope="module")
def product():
    return PipelineDreamer(weights="random", timesteps=(1000, 500), context_noise=0.0)


def test_streaming_equals_the_masked_pass_of_training(product):
    """Every frame predicted at once under the mask, and one by one over the ring, past its window."""
    transformer = product.pipeline.diffusion_model.transformer
    generator = torch.Generator().manual_seed(0)
    clean = torch.randn(2, 8, FRAMES, 8, 8, generator=generator)
    noisy = torch.randn(2, 8, FRAMES - 1, 8, 8, generator=generator)
    controls = torch.rand(2, FRAMES, 3, generator=generator)
    levels = torch.cat([torch.zeros(2, FRAMES), torch.full((2, FRAMES - 1), 0.75)], dim=1)
    with torch.no_grad():
        masked = MaskedPass(transformer.dit, FRAMES, window=12)
        before = torch.zeros(2, 8, 1, 8, 8)
        expected = masked(clean, noisy, levels, controls, before)
        cache = transformer.allocate_cache(2, (8, 1, 8, 8))
        transformer.begin_rollout(cache, {"latents": clean[:, :, :1], "controls": controls[:, :1]})
        timestep = torch.tensor([750.0])
        for index in range(FRAMES - 1):
            transformer.begin_chunk(cache, index)
            now = noisy[:, :, index : index + 1]
            flow = transformer.predict_flow(now, timestep, cache, controls[:, index + 1])
            streamed = now - 0.75 * flow
            torch.testing.assert_close(streamed, expected[:, :, index : index + 1], atol=2e-5, rtol=0)
            frame = clean[:, :, index + 1 : index + 2]
            transformer.write_context(frame, cache, controls[:, index + 1])
            transformer.remember_chunk(frame, cache)


def test_the_pipeline_equals_a_plain_loop_over_growing_lists(product):
    pipeline = product.pipeline
    plain = NetworkDreamer(
        pipeline.diffusion_model.transformer.context_encoder.frames,
        pipeline.decoder.frames,
        pipeline.diffusion_model.transformer.dit,
        timesteps=(1000, 500),
        context_noise=0.0,
    )
    rng = np.random.default_rng(0)
    clips = rng.integers(0, 256, (2, 3, 64, 64, 3), dtype=np.uint8)
    actions = rng.random((2, 3, 3), dtype=np.float32)
    plain.start(clips, actions, seed=5)
    generator = torch.Generator().manual_seed(5)
    drawn = {}

    def same_noise(seed, chunk, draw, member, shape):
        if (chunk, draw) not in drawn:
            drawn[chunk, draw] = torch.randn(2, *shape, generator=generator)
        return drawn[chunk, draw][member]

    rollout = pipeline.initialize_cache(
        first_frame=torch.from_numpy(clips).permute(0, 4, 1, 2, 3).float() / 127.5 - 1,
        first_controls=actions,
        batch_size=2,
        noise=same_noise,
    )
    for index in range(14):
        control = rng.random((2, 3), dtype=np.float32)
        chunk = pipeline.generate(index, rollout, input=control)
        pipeline.finalize(index, rollout)
        frames = ((chunk[:, :, 0].permute(0, 2, 3, 1) + 1) * 127.5).numpy()
        np.testing.assert_allclose(frames, plain.step(control), atol=1.0)  # the plain one is rounded


def test_a_variant_is_a_derived_config_with_the_same_weights():
    assert derive_config(POCKET_RACER, total_blocks=3).pipeline == POCKET_RACER.pipeline
