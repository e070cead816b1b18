"""What flashdreams-pocket adds to FlashDreams. Light to import: everything is named, nothing loaded."""

from __future__ import annotations

from flashdreams.plugins.hookspecs import hookimpl
from flashdreams.plugins.specs import ComponentSpec, RunnerSpec

_CONFIG = "flashdreams_pocket.config"


@hookimpl
def flashdreams_runners() -> list[RunnerSpec]:
    """The slugs."""
    return [
        RunnerSpec(
            slug="pocket-racer",
            summary="Drive a dreamt race car: a world model of CarRacing-v3 for one CPU core.",
            target=f"{_CONFIG}:POCKET_RACER",
        ),
        RunnerSpec(
            slug="pocket-racer-fine",
            summary="The same weights in 4 denoising steps a pixel frame, for comparison.",
            target=f"{_CONFIG}:POCKET_RACER_FINE",
        ),
    ]


@hookimpl
def flashdreams_components() -> list[ComponentSpec]:
    """The parts."""
    return [
        ComponentSpec(
            kind="encoder",
            name="pocket-drive-control",
            summary="Steer, gas and brake of one pixel frame.",
            target=f"{_CONFIG}:DriveControlEncoderConfig",
        ),
        ComponentSpec(
            kind="context_encoder",
            name="pocket-start-clip",
            summary="The pixel frames that a dream starts from.",
            target=f"{_CONFIG}:StartClipEncoderConfig",
        ),
        ComponentSpec(
            kind="transformer",
            name="pocket-racer",
            summary="The causal world model of CarRacing-v3.",
            target=f"{_CONFIG}:RacerTransformerConfig",
        ),
        ComponentSpec(
            kind="decoder",
            name="pocket-racer",
            summary="The convolutional decoder of single latent frames.",
            target=f"{_CONFIG}:RacerDecoderConfig",
        ),
    ]
