"""What a user gives once, when a rollout begins."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Conditions:
    """The one-shot conditions of a rollout, handed to the transformer's context encoder."""

    prompts: list[str] | None = None
    """One prompt per batch member."""
    first_frame: Any = None
    """What the video starts from: pixels ``[B, 3, T, H, W]``, or whatever the model documents."""
    height: int
    """Height of the video in pixels."""
    width: int
    """Width of the video in pixels."""
    batch_size: int
    """Videos made side by side."""
    inputs: Mapping[str, Any] = field(default_factory=dict)
    """Whatever else the model documents."""

    def given(self) -> list[str]:
        """Names of the conditions that were actually given."""
        named = {"prompts": self.prompts, "first_frame": self.first_frame, **self.inputs}
        return [name for name, value in named.items() if value is not None]
