"""Causal-Forcing at a toy size from CUDA graphs, as far as that shows without a card."""

import torch

from flashdreams.infra.config import derive_config
from flashdreams.testing.conformance import graph_problems
from flashdreams_causal_forcing.config import CAUSAL_FORCING_I2V_FRAMEWISE
from flashdreams_wan.config import TINY_DECODER, TINY_SIZE, TINY_TEXT, TINY_TRANSFORMER
from flashdreams_wan.vae.config import WanVAEEncoderConfig


def test_graphs_make_the_frames_that_the_code_makes_of_an_image():
    context = dict(
        text=TINY_TEXT, first_frame="given", vae=WanVAEEncoderConfig(base_width=8), negative_prompt=None
    )
    transformer = derive_config(TINY_TRANSFORMER, chunk=1, window=3, layers=2, context_encoder=context)
    config = derive_config(
        CAUSAL_FORCING_I2V_FRAMEWISE.pipeline,
        diffusion_model=dict(transformer=transformer),
        decoder=TINY_DECODER,
        **TINY_SIZE | dict(height=32, width=48),
    )
    image = torch.full((1, 3, 1, 32, 48), 0.5)
    assert graph_problems(config.setup(), chunks=(5, 2), prompts="a fox", first_frame=image) == []
