"""What flashdreams-taehv adds to FlashDreams. Light to import: everything is named, nothing loaded."""

from __future__ import annotations

from flashdreams.plugins.hookspecs import hookimpl
from flashdreams.plugins.specs import ComponentSpec


@hookimpl
def flashdreams_components() -> list[ComponentSpec]:
    """The parts."""
    return [
        ComponentSpec(
            kind="decoder",
            name="taehv-wan2.1",
            summary="A tiny decoder of Wan 2.1's latents, with its published weights.",
            target="flashdreams_taehv.config:taew2_1",
        )
    ]
