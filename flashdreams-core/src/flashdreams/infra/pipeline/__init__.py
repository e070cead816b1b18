"""The pipeline: encoder, diffusion model and decoder, run chunk by chunk."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from flashdreams.infra.pipeline.config import StreamInferencePipelineConfig

if TYPE_CHECKING:
    from flashdreams.infra.pipeline.base import StreamInferencePipeline
    from flashdreams.infra.pipeline.rollout import Rollout, Snapshot

__all__ = ["Rollout", "Snapshot", "StreamInferencePipeline", "StreamInferencePipelineConfig"]

_HOMES = {"StreamInferencePipeline": "base", "Rollout": "rollout", "Snapshot": "rollout"}


def __getattr__(name: str) -> Any:
    """Import what needs torch only when it is asked for."""
    if name in _HOMES:
        from importlib import import_module

        return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
