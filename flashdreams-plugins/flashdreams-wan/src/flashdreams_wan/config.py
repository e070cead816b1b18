"""The family's slugs, and the parts that other plugins derive theirs from. No torch here."""

from __future__ import annotations

from typing import Any

from flashdreams.infra.config import derive_config
from flashdreams.infra.diffusion.model.config import DiffusionModelConfig
from flashdreams.infra.diffusion.scheduler.config import (
    FlowMatchSchedulerConfig,
    SchedulerConfig,
    UniPCSchedulerConfig,
)
from flashdreams.infra.pipeline.config import StreamInferencePipelineConfig
from flashdreams_wan.context.config import PromptSwitchEncoderConfig, WanContextEncoderConfig
from flashdreams_wan.dit.config import WanTransformerConfig
from flashdreams_wan.image.config import WanImageEncoderConfig
from flashdreams_wan.runner.config import WanRunnerConfig
from flashdreams_wan.text.config import WanTextEncoderConfig
from flashdreams_wan.vae.config import WanVAEDecoderConfig, WanVAEEncoderConfig

CLIP_LATENT_FRAMES = 21
"""Latent frames of a clip that the bidirectional models were trained on: 81 pixel frames, 5 seconds."""

NEGATIVE_PROMPT = (
    "色调艳丽，过曝，静态，细节模糊不清，字幕，风格，作品，画作，画面，静止，整体发灰，最差质量，低质量，"  # noqa: RUF001
    "JPEG压缩残留，丑陋的，残缺的，多余的手指，画得不好的手部，画得不好的脸部，畸形的，毁容的，"  # noqa: RUF001
    "形态畸形的肢体，手指融合，静止不动的画面，杂乱的背景，三条腿，背景人很多，倒着走"  # noqa: RUF001
)
"""The negative prompt of Wan's published configs (Wan-Video/Wan2.1, ``sample_neg_prompt``)."""


def text_encoder() -> WanTextEncoderConfig:
    """UMT5-XXL as published."""
    return WanTextEncoderConfig(weights="flashdreams_wan:text-encoder", tokenizer="flashdreams_wan:tokenizer")


def vae_decoder() -> WanVAEDecoderConfig:
    """The decoder of the Wan 2.1 VAE as published."""
    return WanVAEDecoderConfig(weights="flashdreams_wan:vae")


def vae_encoder() -> WanVAEEncoderConfig:
    """The encoder of the Wan 2.1 VAE as published."""
    return WanVAEEncoderConfig(weights="flashdreams_wan:vae")


def wan_pipeline(
    name: str, transformer: WanTransformerConfig, scheduler: SchedulerConfig, **fields: Any
) -> StreamInferencePipelineConfig:
    """A pipeline around ``transformer``: 832x480 pixels in bfloat16, the Wan VAE, prompts that may switch."""
    given: dict[str, Any] = {
        "encoder": PromptSwitchEncoderConfig() if transformer.chunk < transformer.window else None,
        "decoder": vae_decoder(),
        "dtype": "bfloat16",
        **fields,
    }
    model = DiffusionModelConfig(transformer=transformer, scheduler=scheduler)
    return StreamInferencePipelineConfig(name=name, diffusion_model=model, **given)


def distilled(slug: str, what: str, weights: str) -> WanRunnerConfig:
    """A causal model of 1.3 billion parameters and four steps, in chunks of 3 latent frames.

    As Self-Forcing publishes its configs: a window of 21 latent frames, the timesteps 1000, 750, 500 and 250
    warped with a shift of 5 to 1000, 937.5, 833.3 and 625.
    """
    transformer = WanTransformerConfig(
        weights=weights,
        chunk=3,
        window=CLIP_LATENT_FRAMES,
        context_encoder=WanContextEncoderConfig(text=text_encoder()),
    )
    scheduler = FlowMatchSchedulerConfig(denoising_timesteps=[1000.0, 750.0, 500.0, 250.0], shift=5.0)
    return WanRunnerConfig(
        runner_name=slug, description=what, pipeline=wan_pipeline(slug, transformer, scheduler)
    )


def _bidirectional(
    slug: str, what: str, transformer: WanTransformerConfig, **scheduler: Any
) -> WanRunnerConfig:
    return WanRunnerConfig(
        runner_name=slug,
        description=what,
        pipeline=wan_pipeline(slug, transformer, UniPCSchedulerConfig(**scheduler)),
        total_blocks=1,
    )


_T2V = WanTransformerConfig(
    weights="flashdreams_wan:t2v-1.3b",
    chunk=CLIP_LATENT_FRAMES,
    window=CLIP_LATENT_FRAMES,
    guidance_scale=6.0,
    context_encoder=WanContextEncoderConfig(text=text_encoder(), negative_prompt=NEGATIVE_PROMPT),
)

WAN_T2V_1_3B = _bidirectional(
    "wan2.1-t2v-1.3b",
    "Wan 2.1 of 1.3 billion parameters: 5 seconds from a prompt, all frames at once.",
    _T2V,
    shift=5.0,
)

_14B: dict[str, Any] = dict(width=5120, mlp_width=13824, layers=40, heads=40, guidance_scale=5.0)

WAN_T2V_14B = _bidirectional(
    "wan2.1-t2v-14b",
    "Wan 2.1 of 14 billion parameters: 5 seconds from a prompt, all frames at once.",
    derive_config(_T2V, weights="flashdreams_wan:t2v-14b", **_14B),
    shift=5.0,
)

WAN_I2V_14B_480P = _bidirectional(
    "wan2.1-i2v-14b-480p",
    "Wan 2.1 of 14 billion parameters: 5 seconds from an image and a prompt, all frames at once.",
    derive_config(
        _T2V,
        weights="flashdreams_wan:i2v-14b-480p",
        condition_channels=20,
        image_width=1280,
        context_encoder=dict(
            first_frame="channels",
            image=WanImageEncoderConfig(weights="flashdreams_wan:image-encoder"),
            vae=vae_encoder(),
            negative_prompt="镜头晃动，" + NEGATIVE_PROMPT,  # noqa: RUF001 (Wan's i2v_14B asks for a steady camera)
        ),
        **_14B,
    ),
    num_inference_steps=40,
    shift=3.0,  # for 480p, as Wan's generate.py sets it
)

TINY_TEXT = WanTextEncoderConfig(
    width=32, mlp_width=64, layers=2, heads=4, head_width=8, vocabulary=384, tokens=512, tokenizer="bytes"
)
"""A text encoder of 46 thousand random parameters that reads bytes."""

TINY_TRANSFORMER = WanTransformerConfig(
    context_encoder=WanContextEncoderConfig(text=TINY_TEXT, negative_prompt=NEGATIVE_PROMPT),
    width=64,
    mlp_width=128,
    layers=4,
    heads=4,
    frequency_width=64,
    text_width=32,
    text_tokens=512,
)
"""The transformer at a size that one CPU core can play with."""

TINY_DECODER = WanVAEDecoderConfig(base_width=8, weights_seed=15)
"""The VAE's decoder at a size that one CPU core can play with; of the seeds tried, the liveliest."""

TINY_SIZE: dict[str, Any] = dict(height=112, width=192, dtype="float32")
"""Pixels of the tiny models' videos; the runner enlarges them."""

WAN_TINY_T2V = derive_config(
    WAN_T2V_1_3B,
    runner_name="wan-tiny-t2v",
    description="Wan 2.1's code at a toy size with random weights: moving colours, no download.",
    pipeline=dict(
        name="wan-tiny-t2v",
        diffusion_model=dict(
            transformer=derive_config(TINY_TRANSFORMER, chunk=9, window=9, guidance_scale=5.0),
            scheduler=dict(num_inference_steps=20),
        ),
        decoder=TINY_DECODER,
        **TINY_SIZE,
    ),
    scale=4,
    threads=1,
)
