"""What flashdreams-causal-forcing adds to FlashDreams. Light to import: all is named, nothing loaded."""

from __future__ import annotations

from flashdreams.plugins.hookspecs import hookimpl
from flashdreams.plugins.specs import RunnerSpec

_CONFIG = "flashdreams_causal_forcing.config"


@hookimpl
def flashdreams_runners() -> list[RunnerSpec]:
    """The slugs."""
    return [
        RunnerSpec(
            slug="causal-forcing-wan2.1-t2v-1.3b-chunkwise",
            summary="Causal-Forcing: video from a prompt in 4 steps, 3 latent frames a chunk.",
            target=f"{_CONFIG}:CAUSAL_FORCING_CHUNKWISE",
        ),
        RunnerSpec(
            slug="causal-forcing-wan2.1-t2v-1.3b-framewise",
            summary="Causal-Forcing: video from a prompt in 4 steps, one latent frame a chunk.",
            target=f"{_CONFIG}:CAUSAL_FORCING_FRAMEWISE",
        ),
        RunnerSpec(
            slug="causal-forcing-wan2.1-i2v-1.3b-framewise",
            summary="Causal-Forcing: video from an image and a prompt, one latent frame a chunk.",
            target=f"{_CONFIG}:CAUSAL_FORCING_I2V_FRAMEWISE",
        ),
    ]
