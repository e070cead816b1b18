"""What the context encoder must have given, seen to before anything is computed with it."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from flashdreams.errors import FieldValueError, InputError
from flashdreams_wan.dit.cache import WanCache
from flashdreams_wan.dit.config import WanTransformerConfig
from flashdreams_wan.dit.network import PATCH

Sizes = tuple[int | None, ...]
"""A shape; None where any size will do."""


def checked_context(context: Any, config: WanTransformerConfig, cache: WanCache) -> dict[str, Tensor]:
    """The encoded conditions that the transformer takes, in its dtype.

    Args:
        context: What the context encoder made of a rollout's conditions.
        config: The transformer's.
        cache: Of the rollout that begins.

    Raises:
        InputError: A condition is missing, or a given start holds no whole chunks.
        FieldValueError: The encoder's sizes are not the transformer's.
    """
    given = context if isinstance(context, dict) else {}
    wanted = _wanted(config, cache)
    for name, sizes in wanted.items():
        if name in given:
            _check_sizes(name, given[name], sizes)
        elif name != "given":
            raise _missing(name)
    if "given" in given and given["given"].shape[2] % config.chunk:
        raise InputError(
            f"The video was given {given['given'].shape[2]} latent frames to start from.",
            f"This model makes chunks of {config.chunk} latent frames, so it can start from whole chunks.",
            "Take a model that makes single latent frames, or leave the first frame out.",
        )
    return {name: given[name].to(cache.new_text.dtype) for name in wanted if name in given}


def _wanted(config: WanTransformerConfig, cache: WanCache) -> dict[str, Sizes]:
    videos, size = len(cache.new_text), (cache.grid[0] * PATCH[1], cache.grid[1] * PATCH[2])
    text = (videos, config.text_tokens, config.text_width)
    wanted: dict[str, Sizes] = {"text": text, "given": (videos, config.latent_channels, None, *size)}
    if config.is_guided:
        wanted["negative"] = text
    if config.image_width:
        wanted["image"] = (videos, config.image_tokens, config.image_width)
    if config.condition_channels:
        wanted["condition"] = (videos, config.condition_channels, None, *size)
    return wanted


def _check_sizes(name: str, tensor: Tensor, sizes: Sizes) -> None:
    shape = tuple(tensor.shape)
    if len(shape) == len(sizes) and all(want in (None, got) for got, want in zip(shape, sizes, strict=True)):
        return
    raise FieldValueError(
        f"The context encoder gave {name!r} as {list(shape)}.",
        f"The transformer takes {['any' if size is None else size for size in sizes]}.",
        "Set the sizes of the transformer and of its context_encoder to those of one model.",
    )


def _missing(name: str) -> InputError:
    what, remedy = {
        "text": ("no prompt", "Give prompts; the transformer's context_encoder encodes them."),
        "negative": (
            "no negative prompt",
            "Give negative_prompt, set the context encoder's, or set guidance_scale to 1.",
        ),
        "image": ("no image", "Give first_frame, and see that the context encoder has an image encoder."),
        "condition": ("no first frame", 'Give first_frame; the context encoder\'s mode is "channels".'),
    }[name]
    return InputError(
        f"The rollout has {what}.", f"The transformer needs the encoded condition {name!r}.", remedy
    )
