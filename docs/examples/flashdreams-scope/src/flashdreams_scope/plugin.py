"""What flashdreams-scope adds to FlashDreams. Every command imports this, so it imports next to nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flashdreams.plugins.hookspecs import hookimpl
from flashdreams.plugins.specs import CommandSpec, ComponentSpec
from flashdreams_scope.watch import Watch

if TYPE_CHECKING:
    from torch import Tensor

    from flashdreams.infra.pipeline.rollout import Rollout

WATCH = Watch()


@hookimpl
def flashdreams_components() -> list[ComponentSpec]:
    """A decoder that fits every model."""
    return [
        ComponentSpec(
            kind="decoder",
            name="latent-view",
            summary="No decoding: three channels of the latents as red, green and blue.",
            target="flashdreams_scope.config:LatentViewConfig",
        )
    ]


@hookimpl
def flashdreams_commands() -> list[CommandSpec]:
    """A command beside `run`."""
    return [
        CommandSpec(
            name="contact-sheet",
            summary="One picture of a whole video: the last frame of each chunk.",
            target="flashdreams_scope.contact_sheet:main",
        )
    ]


@hookimpl
def flashdreams_chunk_generated(rollout: Rollout, index: int, chunk: Tensor) -> None:
    """Measure the chunk, without waiting for the device."""
    WATCH.measure(rollout, index, chunk)


@hookimpl
def flashdreams_rollout_finished(rollout: Rollout) -> None:
    """Say what has become of the video."""
    WATCH.report(rollout)
