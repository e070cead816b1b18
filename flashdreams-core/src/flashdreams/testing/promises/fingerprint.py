"""What a module holds beside its weights, as something that can be compared later."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

_OF_TORCH = frozenset(vars(nn.Module()))
_OF_THE_PIPELINE = frozenset({"slots", "execution", "observers", "stages"})
_DEPTH = 4
"""How far objects in objects are looked into."""


def weights(module: nn.Module) -> dict[str, Any]:
    """Checksum of every parameter and buffer, by name."""
    named = [*module.named_parameters(), *module.named_buffers()]
    return {name: _of_tensor(tensor) for name, tensor in named}


def attributes(module: nn.Module) -> dict[str, Any]:
    """What every module within ``module`` holds beside parameters, buffers and modules, by name."""
    return {
        ".".join(filter(None, (path, name))): _of(value, _DEPTH)
        for path, part in module.named_modules()
        for name, value in vars(part).items()
        if name not in _OF_TORCH and (path or name not in _OF_THE_PIPELINE)
    }


def changed(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """Names of what is not what it was."""
    names = before.keys() | after.keys()
    return sorted(name for name in names if before.get(name) != after.get(name))


def _of(value: Any, depth: int) -> Any:
    """Something equal as long as ``value`` holds the same."""
    if isinstance(value, Tensor):
        return _of_tensor(value)
    if isinstance(value, torch.Generator):
        return _of_tensor(value.get_state())
    if value is None or isinstance(value, bool | int | float | str | bytes):
        return repr(value)
    if isinstance(value, nn.Module) or depth == 0:
        return id(value)
    return (type(value).__name__, [(key, _of(child, depth - 1)) for key, child in _inside(value)])


def _inside(value: Any) -> Iterator[tuple[Any, Any]]:
    if isinstance(value, dict):
        yield from ((repr(key), child) for key, child in value.items())
    elif isinstance(value, list | tuple | set | frozenset):
        yield from enumerate(value)
    elif hasattr(value, "__dict__") and not callable(value):
        yield from vars(value).items()
    else:
        yield ("", id(value)) if hasattr(value, "__dict__") else ("", repr(value))


def _of_tensor(tensor: Tensor) -> Any:
    if tensor.is_meta or not tensor.numel():
        return (tuple(tensor.shape), tensor.dtype)
    data = tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().data
    return (tuple(tensor.shape), tensor.dtype, zlib.crc32(data))
