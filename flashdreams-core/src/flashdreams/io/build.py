"""Modules with large weights: built without memory, filled straight where and in what they compute."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeVar

from flashdreams.errors import ComponentError
from flashdreams.infra.config.placement import placement
from flashdreams.io.hub import resolve_weights
from flashdreams.io.layout import Layout, only_part

if TYPE_CHECKING:
    from torch import nn

    ModuleT = TypeVar("ModuleT", bound=nn.Module)

RANDOM = "random"
"""Text of a ``weights`` field that asks for weights made here, from a seed."""


def build_module(
    build: Callable[[], ModuleT],
    weights: str,
    *,
    layouts: Sequence[Layout],
    initialise: Callable[[ModuleT], None],
    lora: Sequence[str] = (),
    only: str | None = None,
) -> ModuleT:
    """Build a module and give it its weights, in the dtype and on the device of :func:`placement`.

    Where that device is "meta", the module is a skeleton, and nothing is read or fetched. Tables that are
    no parameters (buffers that are not persistent) are in no file: build them with ``device="cpu"``.

    Args:
        build: Builds the module; it is called with torch's default device set to "meta".
        weights: "random", a reference such as "some_package:vae", or a local file or folder.
        layouts: Layouts in which the weights are published; the first one that fits the file is taken.
        initialise: Fills the module with random weights, in place and on the CPU, so that they are the same
            everywhere; called where ``weights`` is "random".
        lora: LoRA files to merge afterwards, each "PATH" or "PATH:SCALE".
        only: Takes the place of the layouts' ``only``: which part of the files the module is.

    Raises:
        WeightsError: The weights cannot be found, fetched, trusted, read, or do not fit.
        ComponentError: The module keeps something on "meta" that no file fills.
    """
    import torch

    place = placement()
    with torch.device("meta"):
        module = build().to(getattr(torch, place.dtype))
    if place.device == "meta":
        return module
    if weights == RANDOM:
        _make_random(module, initialise)
    else:
        _load(module, weights, only_part(layouts, only))
    _check_filled(module)
    module.to(place.device)
    for text in lora:
        _merge(module, text, layouts)
    return module


def _load(module: nn.Module, weights: str, layouts: Sequence[Layout]) -> None:
    from flashdreams.io.weights import load_weights

    load_weights(module, resolve_weights(weights), layouts=layouts, device=placement().device)


def _merge(module: nn.Module, text: str, layouts: Sequence[Layout]) -> None:
    from flashdreams.io.lora import merge_lora

    merge_lora(module, text, *(layout.renames for layout in layouts))


def _make_random(module: ModuleT, initialise: Callable[[ModuleT], None]) -> None:
    import torch

    from flashdreams.io.weights import place_tensor, tensor_groups

    for names, tensor in tensor_groups(module):
        if tensor.is_meta:
            place_tensor(module, names, torch.empty_like(tensor, device="cpu"))
    with torch.no_grad():
        initialise(module)


def _check_filled(module: nn.Module) -> None:
    left = [name for name, buffer in module.named_buffers() if buffer.is_meta]
    if left:
        raise ComponentError(
            f"{type(module).__name__} keeps the buffer {left[0]} on meta: no file fills it.",
            "A buffer that is not persistent has its values from the start.",
            'Build it with device="cpu" (torch.arange(n, device="cpu")).',
        )
