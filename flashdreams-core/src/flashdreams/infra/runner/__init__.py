"""The runner: a pipeline, its inputs and its output, under one slug."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from flashdreams.infra.runner.config import RunnerConfig

if TYPE_CHECKING:
    from flashdreams.infra.runner.base import Runner

__all__ = ["Runner", "RunnerConfig"]


def __getattr__(name: str) -> Any:
    """Import the runner itself, and torch with it, only when it is asked for."""
    if name == "Runner":
        from flashdreams.infra.runner.base import Runner

        return Runner
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
