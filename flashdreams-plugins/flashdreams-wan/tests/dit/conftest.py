"""Small transformers with random weights, and what they are told in place of a text encoder."""

import zlib
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch

from flashdreams.infra.config import derive_config
from flashdreams.infra.diffusion.model.config import DiffusionModelConfig
from flashdreams.infra.diffusion.scheduler.config import FlowMatchSchedulerConfig
from flashdreams.infra.encoder.base import Encoder, EncoderConfig
from flashdreams.infra.pipeline import StreamInferencePipelineConfig
from flashdreams_wan.dit.config import WanTransformerConfig


@dataclass(kw_only=True)
class WordsConfig(EncoderConfig):
    """A vector per word."""

    _target: Any = field(default_factory=lambda: Words)
    tokens: int = 8
    """Tokens of a prompt, zeros behind its words included."""
    width: int = 20
    """Length of a vector."""


class Words(Encoder):
    """Gives each word a vector of its own, and hands on what else is given as tensors."""

    config: WordsConfig
    takes = frozenset({"prompts", "negative_prompt", "image", "condition", "given"})

    def forward(self, conditions):
        context = {
            name: conditions.inputs[name]
            for name in ("image", "condition", "given")
            if name in conditions.inputs
        }
        if conditions.prompts is not None:
            context["text"] = self.encode_prompts(conditions.prompts)
        if "negative_prompt" in conditions.inputs:
            context["negative"] = self.encode_prompts(
                [conditions.inputs["negative_prompt"]] * conditions.batch_size
            )
        return context

    def encode_prompts(self, prompts):
        texts = torch.zeros(len(prompts), self.config.tokens, self.config.width)
        for text, prompt in zip(texts, prompts, strict=True):
            for row, word in zip(text, prompt.split(), strict=False):
                row.normal_(generator=torch.Generator().manual_seed(zlib.crc32(word.encode())))
        return texts


TINY = WanTransformerConfig(
    context_encoder=WordsConfig(),
    width=24,
    mlp_width=48,
    layers=2,
    heads=2,
    frequency_width=16,
    text_width=20,
    text_tokens=8,
    latent_channels=4,
    chunk=2,
    window=6,
)


@pytest.fixture(scope="session")
def tiny():
    """A config of a few thousand parameters, with changes."""
    return lambda **changes: derive_config(TINY, **changes)


@pytest.fixture(scope="session")
def tiny_pipeline(tiny):
    """A pipeline of such a transformer and nothing else: controls and latents go straight through."""

    def build(*, steps=2, dtype="float32", encoder=None, **changes):
        levels = [1000.0 * (1 - i / steps) for i in range(steps)]
        return StreamInferencePipelineConfig(
            name="tiny",
            encoder=encoder,
            diffusion_model=DiffusionModelConfig(
                transformer=tiny(**changes), scheduler=FlowMatchSchedulerConfig(denoising_timesteps=levels)
            ),
            height=4,
            width=6,
            dtype=dtype,
        ).setup()

    return build


@pytest.fixture(autouse=True)
def _no_gradients():
    with torch.no_grad():
        yield
