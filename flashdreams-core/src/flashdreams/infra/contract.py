"""What components must keep to, checked where a mistake would otherwise show far from its cause."""

from __future__ import annotations

from typing import Any, TypeVar

from torch import Tensor

from flashdreams.errors import ComponentError
from flashdreams.infra.config import InstantiateConfig

PartT = TypeVar("PartT")


def built(config: InstantiateConfig, base: type[PartT], field: str) -> PartT:
    """Set a part up, and see that it is of the kind that its place is for.

    Raises:
        ComponentError: It is of another kind, or did not call its base class's ``__init__``.
    """
    part = config.setup()
    if not isinstance(part, base):
        raise ComponentError(
            f"{field} is built by {type(config).__name__} as a {type(part).__name__}.",
            f"A {field} derives from {base.__module__}.{base.__name__}.",
            f"Set {field} to a config of the right kind, or correct its _target.",
        )
    if not hasattr(part, "_parameters"):
        raise ComponentError(
            f"{type(part).__name__} was not initialised.",
            "Its __init__ calls super().__init__(config) before anything else.",
            "Add that line.",
        )
    return part


def same_shape(flow: Tensor, latents: Tensor, transformer: Any) -> Tensor:
    """The flow, if it has the shape of the latents.

    Raises:
        ComponentError: It has another, which might be broadcast unnoticed.
    """
    if flow.shape != latents.shape:
        raise ComponentError(
            f"{type(transformer).__name__}.predict_flow returned {list(flow.shape)}.",
            f"The flow has the shape of the latents, {list(latents.shape)}.",
            "Correct the last lines of predict_flow.",
        )
    return flow


def like_noise(given: Tensor, noise: Tensor, transformer: Any) -> Tensor:
    """A chunk that is given, if it has the shape and the dtype of the noise that others are made of.

    Raises:
        ComponentError: It has not, which might be broadcast unnoticed.
    """
    if (given.shape, given.dtype) != (noise.shape, noise.dtype):
        raise ComponentError(
            f"{type(transformer).__name__}.given_chunk returned {list(given.shape)} in {given.dtype}.",
            f"A chunk of this rollout has {list(noise.shape)} in {noise.dtype}.",
            "Correct given_chunk, or what the context encoder makes for it.",
        )
    return given


def with_state(result: Any, component: Any) -> tuple[Any, Any]:
    """What a streaming component returned: its result and the next state.

    Raises:
        ComponentError: It returned something else than these two.
    """
    if not isinstance(result, tuple) or len(result) != 2:
        raise ComponentError(
            f"{type(component).__name__}.forward returned a {type(result).__name__}.",
            "A streaming component returns two things: its result, and the state after it.",
            "Return both, or derive from the base class that has no state.",
        )
    return result


def checked_pixels(pixels: Tensor, latents: Tensor, decoder: Any) -> Tensor:
    """The pixels, if they are ``[B, 3, T, H, W]`` of the size that the decoder's config promises.

    Raises:
        ComponentError: They are not.
    """
    scale = decoder.config.spatial_compression
    batch, height, width = len(latents), latents.shape[3] * scale, latents.shape[4] * scale
    fits = pixels.dim() == 5 and (pixels.shape[:2], pixels.shape[3:]) == ((batch, 3), (height, width))
    if not fits or pixels.shape[2] < 1:
        raise ComponentError(
            f"{type(decoder).__name__} made {list(pixels.shape)} of latents {list(latents.shape)}.",
            f"With a spatial_compression of {scale} it makes pixels [{batch}, 3, T, {height}, {width}].",
            "Correct its forward, or spatial_compression in its config.",
        )
    return pixels


def separate(result: Tensor, source: Tensor) -> Tensor:
    """The result, copied where it shares memory with what it was made from: it is the caller's to keep."""
    address = result.untyped_storage().data_ptr()  # 0 on meta, where nothing is shared
    shared = address != 0 and address == source.untyped_storage().data_ptr()
    return result.clone() if shared else result
