"""The control of the family: a new prompt in the middle of a rollout."""

from __future__ import annotations

from typing import Any, TypeGuard

from flashdreams.errors import ControlError
from flashdreams.infra.encoder.base import Encoder
from flashdreams_wan.context.config import PromptSwitchEncoderConfig

_KEYS = {"prompt", "recache"}


class PromptSwitchEncoder(Encoder):
    """Checks a new prompt and hands it on; the transformer has it embedded and takes it up."""

    config: PromptSwitchEncoderConfig

    def forward(self, input: Any) -> dict[str, Any] | None:
        """What a chunk was given, in one form.

        Args:
            input: None for no change, a prompt, a list of one prompt or one per video, or a dict with
                such a ``prompt`` and ``recache``: whether the past is computed anew under the new prompt
                (None leaves that to the transformer's config).

        Returns:
            None, or ``{"prompts": list[str], "recache": bool | None}``.

        Raises:
            ControlError: It is something else.
        """
        if input is None:
            return None
        given = input if isinstance(input, dict) else {"prompt": input}
        prompts = given.get("prompt")
        prompts = [prompts] if isinstance(prompts, str) else prompts
        recache = given.get("recache")
        if given.keys() - _KEYS or not _are_prompts(prompts) or not isinstance(recache, bool | None):
            raise ControlError(
                f"The control is {input!r}.",
                'It is a new prompt, a list of one per video, {"prompt": ..., "recache": True or False}, or'
                " None.",
                'Give "It begins to rain", for instance, or None to go on as before.',
            )
        return {"prompts": list(prompts), "recache": recache}


def _are_prompts(value: Any) -> TypeGuard[list[str]]:
    return isinstance(value, list | tuple) and bool(value) and all(isinstance(text, str) for text in value)
