"""The diffusion model: a transformer and a scheduler in one loop."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from flashdreams.infra.diffusion.model.config import DiffusionModelConfig

if TYPE_CHECKING:
    from flashdreams.infra.diffusion.model.base import DiffusionModel

__all__ = ["DiffusionModel", "DiffusionModelConfig"]


def __getattr__(name: str) -> Any:
    """Import the model itself, and torch with it, only when it is asked for."""
    if name == "DiffusionModel":
        from flashdreams.infra.diffusion.model.base import DiffusionModel

        return DiffusionModel
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
