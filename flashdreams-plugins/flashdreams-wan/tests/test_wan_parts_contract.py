"""The plugin and its components, at small widths, keep their contracts."""

import torch

from flashdreams.testing import DecoderContract, EncoderContract, PluginContract
from flashdreams_wan.context.config import PromptSwitchEncoderConfig, WanContextEncoderConfig
from flashdreams_wan.text.config import WanTextEncoderConfig
from flashdreams_wan.vae.config import WanVAEDecoderConfig, WanVAEEncoderConfig

TEXT = WanTextEncoderConfig(
    width=16, mlp_width=16, layers=1, heads=2, head_width=8, vocabulary=384, tokens=24, cache_embeddings=False
)


class TestPlugin(PluginContract):
    distribution = "flashdreams-wan"


class TestVAEDecoder(DecoderContract):
    config = WanVAEDecoderConfig(base_width=4)
    latent_size = (2, 3)


class TestPromptSwitch(EncoderContract):
    config = PromptSwitchEncoderConfig()
    inputs = ("a fox", {"prompt": "a hare", "recache": True})


class TestPrompts(EncoderContract):
    config = WanContextEncoderConfig(text=TEXT)
    kind = "context_encoder"
    conditions = ({"prompts": ["a fox"]}, {"prompts": ["a hare at dawn"]})


class TestFirstFrame(EncoderContract):
    config = WanContextEncoderConfig(text=TEXT, vae=WanVAEEncoderConfig(base_width=4), first_frame="given")
    kind = "context_encoder"
    conditions = (
        {"prompts": ["a fox"], "first_frame": torch.full((1, 3, 1, 16, 16), 0.5)},
        {"prompts": ["a hare"], "first_frame": torch.full((1, 3, 1, 16, 16), -0.5)},
    )
