"""Causal-Forcing from an image, at a toy size, keeps every promise of a pipeline."""

import torch

from flashdreams.infra.config import derive_config
from flashdreams.infra.runner.capabilities import Capabilities
from flashdreams.testing import PipelineContract
from flashdreams_causal_forcing.config import CAUSAL_FORCING_I2V_FRAMEWISE
from flashdreams_wan.config import TINY_DECODER, TINY_SIZE, TINY_TEXT, TINY_TRANSFORMER
from flashdreams_wan.vae.config import WanVAEEncoderConfig

CONTEXT = dict(
    text=TINY_TEXT, first_frame="given", vae=WanVAEEncoderConfig(base_width=8), negative_prompt=None
)


class TestTinyFromAnImage(PipelineContract):
    pipeline_config = derive_config(
        CAUSAL_FORCING_I2V_FRAMEWISE.pipeline,
        diffusion_model=dict(
            transformer=derive_config(TINY_TRANSFORMER, chunk=1, window=3, layers=2, context_encoder=CONTEXT)
        ),
        decoder=TINY_DECODER,
        **TINY_SIZE | dict(height=32, width=48),
    )
    controls = (None, "a whale")
    capabilities = Capabilities(prompts=True, controls=True)

    def conditions(self):
        return {"prompts": ["a fox"], "first_frame": torch.full((1, 3, 1, 32, 48), 0.5)}
