"""Causal-Forcing's slugs: published settings, and image to video at a toy size."""

import pytest
import torch

from flashdreams.errors import InputError
from flashdreams.infra.config import derive_config
from flashdreams_causal_forcing.config import (
    CAUSAL_FORCING_CHUNKWISE,
    CAUSAL_FORCING_FRAMEWISE,
    CAUSAL_FORCING_I2V_FRAMEWISE,
)
from flashdreams_wan.config import TINY_DECODER, TINY_SIZE, TINY_TEXT, TINY_TRANSFORMER
from flashdreams_wan.vae.config import WanVAEEncoderConfig

SLUGS = {
    "causal-forcing-wan2.1-t2v-1.3b-chunkwise": (CAUSAL_FORCING_CHUNKWISE, 3),
    "causal-forcing-wan2.1-t2v-1.3b-framewise": (CAUSAL_FORCING_FRAMEWISE, 1),
    "causal-forcing-wan2.1-i2v-1.3b-framewise": (CAUSAL_FORCING_I2V_FRAMEWISE, 1),
}


@pytest.mark.parametrize("slug", SLUGS)
def test_published_settings(slug):
    runner, chunk = SLUGS[slug]
    model = runner.pipeline.diffusion_model
    assert (model.transformer.chunk, model.transformer.window, model.transformer.layers) == (chunk, 21, 30)
    assert runner.total_blocks * chunk == 21
    assert model.scheduler.denoising_timesteps == [1000.0, 750.0, 500.0, 250.0]
    assert model.scheduler.shift == 5.0
    assert runner.runner_name == runner.pipeline.name == slug


def tiny_from_an_image():
    """The image-to-video slug with every network at a toy size."""
    context = dict(
        text=TINY_TEXT, first_frame="given", vae=WanVAEEncoderConfig(base_width=8), negative_prompt=None
    )
    transformer = derive_config(TINY_TRANSFORMER, chunk=1, context_encoder=context)
    return derive_config(
        CAUSAL_FORCING_I2V_FRAMEWISE.pipeline,
        diffusion_model=dict(transformer=transformer),
        decoder=TINY_DECODER,
        **TINY_SIZE | dict(height=32, width=48),
    ).setup()


def test_the_image_is_the_first_chunk_and_matters_to_the_rest():
    pipeline = tiny_from_an_image()
    images = [torch.full((1, 3, 1, 32, 48), value) for value in (-0.5, 0.5)]
    videos = []
    for image in images:
        with pipeline.initialize_cache(prompts="a fox", first_frame=image, seed=0) as rollout:
            pipeline.generate(0, rollout)
            latents = pipeline.diffusion_model.transformer.context_encoder.vae.encode(image)
            assert torch.equal(rollout.pending.latents, latents)
            pipeline.finalize(0, rollout)
            videos.append(torch.cat(list(pipeline.stream(rollout, [None] * 3)), dim=2))
    assert videos[0].shape == (1, 3, 12, 32, 48)
    assert (videos[0] - videos[1]).abs().max() > 1e-2


def test_an_image_is_asked_for():
    with pytest.raises(InputError, match="image|first frame"):
        tiny_from_an_image().initialize_cache(prompts="a fox")
