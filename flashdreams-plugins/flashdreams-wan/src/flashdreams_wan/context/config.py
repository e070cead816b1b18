"""Configs of the context encoder and of the encoder of new prompts. No torch here."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from flashdreams.errors import FieldValueError
from flashdreams.infra.encoder.config import EncoderConfig
from flashdreams_wan.image.config import WanImageEncoderConfig
from flashdreams_wan.text.config import WanTextEncoderConfig
from flashdreams_wan.vae.config import WanVAEEncoderConfig


@dataclass(kw_only=True)
class WanContextEncoderConfig(EncoderConfig):
    """Prompts, and where the model starts from an image its first frame, encoded once per rollout."""

    _target: Any = "flashdreams_wan.context.encoder:WanContextEncoder"

    text: WanTextEncoderConfig = field(default_factory=WanTextEncoderConfig)
    """Encoder of the prompts."""
    image: WanImageEncoderConfig | None = None
    """CLIP encoder of the first frame, for models with image cross-attention."""
    vae: WanVAEEncoderConfig | None = None
    """VAE encoder of the first frame, for models that start from an image."""
    first_frame: Literal["none", "given", "channels"] = "none"
    """What becomes of the first frame: nothing, the first latent frame itself, or further input channels."""
    negative_prompt: str | None = None
    """What guidance leads away from, where a rollout is given none of its own."""

    def __post_init__(self) -> None:
        if (self.first_frame != "none") != (self.vae is not None):
            raise FieldValueError(
                f"first_frame is {self.first_frame!r} with {'a' if self.vae else 'no'} vae.",
                "A first frame goes through a vae, and a vae has nothing else to encode.",
                'Set both, or leave first_frame at "none" and vae at None.',
            )


@dataclass(kw_only=True)
class PromptSwitchEncoderConfig(EncoderConfig):
    """Takes a new prompt in the middle of a rollout."""

    _target: Any = "flashdreams_wan.context.prompt_switch:PromptSwitchEncoder"
