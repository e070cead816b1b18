"""A new prompt in the middle of a rollout: what a control asks for, and which chunks it touches."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from flashdreams.errors import ControlError


@dataclass(frozen=True)
class PromptSwitch:
    """What a control asks for."""

    prompts: list[str]
    """One prompt per video."""
    recache: bool
    """Whether the past in the window is to be seen as if it had been made under the new prompt."""


def read_switch(control: Any, videos: int, recache: bool) -> PromptSwitch | None:
    """The prompt switch of a control; None where the control is None.

    Args:
        control: ``{"prompts": ["..."], "recache": True, False or None}``, or None.
        videos: Videos of the batch; a single prompt is for all of them.
        recache: What ``"recache": None`` means.

    Raises:
        ControlError: It is something else.
    """
    if control is None:
        return None
    prompts = control.get("prompts") if isinstance(control, dict) else None
    if not isinstance(prompts, list) or not all(isinstance(prompt, str) for prompt in prompts):
        raise ControlError(
            f"The control is {control!r}.",
            'This model is steered by prompts: {"prompts": ["..."], "recache": True or False}, or None.',
            "Set the pipeline's encoder to PromptSwitchEncoderConfig(), which takes plain text.",
        )
    if len(prompts) not in (1, videos):
        raise ControlError(
            f"{len(prompts)} new prompts were given for {videos} videos.",
            "There is one prompt for all videos, or one for each.",
            f"Give 1 or {videos}.",
        )
    asked = control.get("recache")
    return PromptSwitch(prompts * (videos // len(prompts)), recache if asked is None else bool(asked))


def chunks_in_sight(index: int, *, chunk: int, window: int, sink: int) -> list[int]:
    """Chunks before ``index`` that it attends to, in order of time."""
    first = max(sink // chunk, index + 1 - (window - sink) // chunk)
    return [*range(min(sink // chunk, index)), *range(first, index)]
