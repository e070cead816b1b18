"""What flashdreams-self-forcing adds to FlashDreams. Light to import: everything is named, nothing loaded."""

from __future__ import annotations

from flashdreams.plugins.hookspecs import hookimpl
from flashdreams.plugins.specs import RunnerSpec

_CONFIG = "flashdreams_self_forcing.config"


@hookimpl
def flashdreams_runners() -> list[RunnerSpec]:
    """The slugs."""
    return [
        RunnerSpec(
            slug="self-forcing-wan2.1-t2v-1.3b",
            summary="Self-Forcing: video from a prompt in 4 steps a chunk, with the full VAE.",
            target=f"{_CONFIG}:SELF_FORCING",
        ),
        RunnerSpec(
            slug="self-forcing-wan2.1-t2v-1.3b-taehv",
            summary="Self-Forcing with the tiny decoder TAEHV: a little less sharp, much faster.",
            target=f"{_CONFIG}:SELF_FORCING_TAEHV",
        ),
        RunnerSpec(
            slug="self-forcing-wan2.1-t2v-1.3b-sink",
            summary="Self-Forcing without end: the first chunk is never forgotten.",
            target=f"{_CONFIG}:SELF_FORCING_SINK",
        ),
        RunnerSpec(
            slug="self-forcing-tiny",
            summary="Self-Forcing's code at a toy size with random weights: no download.",
            target=f"{_CONFIG}:SELF_FORCING_TINY",
        ),
    ]
