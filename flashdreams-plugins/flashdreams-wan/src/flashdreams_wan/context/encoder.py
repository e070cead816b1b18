"""The context encoder: what is given once per rollout, as tensors that the transformer reads."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from flashdreams.errors import InputError
from flashdreams.infra.conditions import Conditions
from flashdreams.infra.encoder.base import Encoder
from flashdreams_wan.context.config import WanContextEncoderConfig
from flashdreams_wan.context.first_frame import (
    checked_first_frame,
    checked_latent_frames,
    condition_channels,
)
from flashdreams_wan.transient import anchor


class WanContextEncoder(Encoder):
    """Encodes the prompts of a rollout, what guidance leads away from, and the first frame."""

    config: WanContextEncoderConfig
    _anchor: Tensor
    """Nothing, in the dtype and on the device of the transformer."""

    def __init__(self, config: WanContextEncoderConfig) -> None:
        super().__init__(config)
        self.register_buffer("_anchor", anchor(), persistent=False)
        self.text = config.text.setup()
        self.image = config.image.setup() if config.image is not None else None
        self.vae = config.vae.setup() if config.vae is not None else None

    @property
    def takes(self) -> frozenset[str]:  # type: ignore[override]
        """Conditions that this model takes: it depends on what it does with a first frame."""
        named = {
            "first_frame": self.image is not None or self.vae is not None,
            "latent_frames": self.config.first_frame == "channels",
        }
        return frozenset({"prompts", "negative_prompt"} | {name for name, taken in named.items() if taken})

    @torch.no_grad()
    def forward(self, conditions: Conditions) -> dict[str, Tensor]:
        """The context of a rollout, in the transformer's dtype and on its device.

        Returns:
            ``text`` ``[B, tokens, width]``, zeros beyond each prompt; and where there are such:
            ``negative``, like it; ``image`` ``[B, 257, 1280]``; ``given`` ``[B, 16, 1, h, w]``, the first
            latent frame; ``condition`` ``[B, 20, T, h, w]``, mask and latents of the clip known so far.

        Raises:
            InputError: There is no prompt, or no first frame and the model needs one.
            ImageError: The first frame has another size than the video.
            WeightsError: An encoder's weights cannot be loaded.
        """
        context = self._texts(conditions)
        if "first_frame" in self.takes:
            context |= self._first_frame(conditions)
        return context

    def encode_prompts(self, prompts: list[str]) -> Tensor:
        """Embed prompts, ``[B, tokens, width]``, as :meth:`forward` does."""
        embeddings: Tensor = self.text(prompts)
        return embeddings.to(self._anchor)

    def transient(self) -> dict[str, nn.Module]:
        """Encoders that are in memory only while they are used, as skeletons on ``meta``."""
        image = {} if self.image is None else self.image.transient()
        return {**self.text.transient(), **image}

    def transient_bytes(self) -> int:
        """Bytes of the text encoder, and of the image encoder where there is one."""
        return self.text.transient_bytes() + (0 if self.image is None else self.image.transient_bytes())

    def _texts(self, conditions: Conditions) -> dict[str, Tensor]:
        batch = conditions.batch_size
        if conditions.prompts is None:
            raise InputError(
                "No prompt was given.",
                "This model makes video from a prompt.",
                'Give prompts="..."; an empty one asks for anything.',
            )
        given = conditions.inputs.get("negative_prompt")
        negative = self.config.negative_prompt if given is None else given
        names = ["text"] if negative is None else ["text", "negative"]
        prompts = [*conditions.prompts, *_negatives(negative, batch)]
        return dict(zip(names, self.encode_prompts(prompts).split(batch), strict=True))

    def _first_frame(self, conditions: Conditions) -> dict[str, Tensor]:
        pixels = checked_first_frame(conditions).to(self._anchor.device)
        found = {} if self.image is None else {"image": self.image(pixels[:, :, 0])}
        pixels = pixels.to(self._anchor.dtype)
        if self.vae is not None and self.config.first_frame == "given":
            found["given"] = self.vae.encode(pixels)
        elif self.vae is not None:
            frames = checked_latent_frames(conditions.inputs.get("latent_frames"))
            stride = self.vae.config.temporal_compression
            found["condition"] = condition_channels(self.vae, pixels, frames, stride)
        return {name: t.expand(conditions.batch_size, *t.shape[1:]) for name, t in found.items()}


def _negatives(given: Any, batch_size: int) -> list[str]:
    """One negative prompt for each video of the batch; none where none is given.

    Raises:
        InputError: They are no texts, or do not match the batch.
    """
    if given is None:
        return []
    texts = list(given) if isinstance(given, list | tuple) else [given]
    if len(texts) not in (1, batch_size) or not all(isinstance(text, str) for text in texts):
        raise InputError(
            f"negative_prompt is {given!r} for a batch of {batch_size}.",
            "Every video of the batch has one negative prompt, or all share one.",
            f"Give one text, or a list of {batch_size}.",
        )
    return texts if len(texts) == batch_size else texts * batch_size
