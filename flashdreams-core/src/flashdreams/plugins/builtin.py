"""What core itself registers, exactly as a plugin would."""

from __future__ import annotations

from flashdreams.plugins.hookspecs import hookimpl
from flashdreams.plugins.specs import ComponentSpec

_ENCODERS = "flashdreams.infra.encoder.config"
_SCHEDULERS = "flashdreams.infra.diffusion.scheduler.config"


@hookimpl
def flashdreams_components() -> list[ComponentSpec]:
    """The encoder that does nothing, and the schedulers."""
    return [
        ComponentSpec(
            kind="encoder",
            name="null",
            summary="Ignores every control: the rollout is not steered.",
            target=f"{_ENCODERS}:NullEncoderConfig",
        ),
        ComponentSpec(
            kind="scheduler",
            name="flow-match",
            summary="A few steps: predict the clean latents, noise them again to the next level.",
            target=f"{_SCHEDULERS}:FlowMatchSchedulerConfig",
        ),
        ComponentSpec(
            kind="scheduler",
            name="flow-match-euler",
            summary="Euler steps along the flow.",
            target=f"{_SCHEDULERS}:FlowMatchEulerSchedulerConfig",
        ),
        ComponentSpec(
            kind="scheduler",
            name="unipc",
            summary="UniPC of order 2: fewer steps than Euler for the same quality.",
            target=f"{_SCHEDULERS}:UniPCSchedulerConfig",
        ),
    ]
