"""What flashdreams-wan adds to FlashDreams. Light to import: everything is named, nothing loaded."""

from __future__ import annotations

from flashdreams.plugins.hookspecs import hookimpl
from flashdreams.plugins.specs import ComponentSpec, RunnerSpec

_CONFIG = "flashdreams_wan.config"


@hookimpl
def flashdreams_runners() -> list[RunnerSpec]:
    """The slugs."""
    return [
        RunnerSpec(
            slug="wan2.1-t2v-1.3b",
            summary="Wan 2.1 of 1.3 billion parameters: 5 seconds from a prompt, all frames at once.",
            target=f"{_CONFIG}:WAN_T2V_1_3B",
        ),
        RunnerSpec(
            slug="wan2.1-t2v-14b",
            summary="Wan 2.1 of 14 billion parameters: 5 seconds from a prompt, all frames at once.",
            target=f"{_CONFIG}:WAN_T2V_14B",
        ),
        RunnerSpec(
            slug="wan2.1-i2v-14b-480p",
            summary="Wan 2.1 of 14 billion parameters: 5 seconds from an image and a prompt.",
            target=f"{_CONFIG}:WAN_I2V_14B_480P",
        ),
        RunnerSpec(
            slug="wan-tiny-t2v",
            summary="Wan 2.1's code at a toy size with random weights: moving colours, no download.",
            target=f"{_CONFIG}:WAN_TINY_T2V",
        ),
    ]


@hookimpl
def flashdreams_components() -> list[ComponentSpec]:
    """The parts."""
    return [
        ComponentSpec(
            kind="transformer",
            name="wan2.1",
            summary="Wan 2.1's transformer, causal or bidirectional.",
            target="flashdreams_wan.dit.config:WanTransformerConfig",
        ),
        ComponentSpec(
            kind="context_encoder",
            name="wan2.1",
            summary="Prompts through UMT5; images through CLIP and the VAE where a model takes one.",
            target="flashdreams_wan.context.config:WanContextEncoderConfig",
        ),
        ComponentSpec(
            kind="encoder",
            name="prompt-switch",
            summary="A new prompt in mid-rollout.",
            target="flashdreams_wan.context.config:PromptSwitchEncoderConfig",
        ),
        ComponentSpec(
            kind="decoder",
            name="wan2.1-vae",
            summary="The decoder of the Wan 2.1 VAE, with its published weights.",
            target=f"{_CONFIG}:vae_decoder",
        ),
    ]
