"""A module without its weights, as bytes: enough for another process to compile it.

The bytes are a pickle in which every tensor is only its look; a tensor that is used twice stays one.
"""

from __future__ import annotations

import dataclasses
import io
import pickle
import re
from enum import Enum
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from flashdreams.engine.compile.call import PLAIN, NoRegionError, TensorSpec

_BOOKKEEPING = frozenset({*vars(nn.Module()), "_compiled_call_impl"})
"""Attributes that every module has; parts and weights are told of on their own."""
_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")


def tensors_of(module: nn.Module) -> list[Tensor]:
    """Parameters and buffers, in the order in which compiled code takes them."""
    return [*module.parameters(), *module.buffers()]


def names_of(module: nn.Module) -> list[str]:
    """Their names, in the same order."""
    named = [*module.named_parameters(), *module.named_buffers()]
    return [name for name, _ in named]


def drawn(subject: Any) -> bytes:
    """Any object that holds modules and tensors, without the tensors' values.

    Raises:
        NoRegionError: It holds something that another process cannot make, such as a local function.
    """
    buffer = io.BytesIO()
    try:
        _Drawing(buffer, protocol=pickle.HIGHEST_PROTOCOL).dump(subject)
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise NoRegionError(f"it cannot be described to another process: {error}") from error
    return buffer.getvalue()


def built(drawing: bytes) -> Any:
    """The object again, with zeros in its tensors. Only for bytes that this program made."""
    return _Building(io.BytesIO(drawing)).load()


def described(module: nn.Module) -> list[str]:
    """What decides how a module computes, beside its source: classes, plain attributes, looks of weights."""
    lines = [f"{name} {_class_of(part)} {_attributes(part)}" for name, part in module.named_modules()]
    looks = zip(names_of(module), map(TensorSpec.of, tensors_of(module)), strict=True)
    return lines + [f"{name} {look}" for name, look in looks]


def zeros(look: TensorSpec) -> Tensor:
    """A tensor of that look that owns its memory."""
    last = sum((size - 1) * step for size, step in zip(look.shape, look.stride, strict=True))
    memory = torch.zeros(last + 1 if 0 not in look.shape else 0, dtype=look.dtype, device=look.device)
    return memory.as_strided(look.shape, look.stride)


class _Drawing(pickle.Pickler):
    def __init__(self, buffer: io.BytesIO, protocol: int) -> None:
        super().__init__(buffer, protocol)
        self._numbers: dict[int, int] = {}

    def persistent_id(self, subject: Any) -> Any:
        if not isinstance(subject, Tensor):
            return None
        number = self._numbers.setdefault(id(subject), len(self._numbers))
        return (number, isinstance(subject, nn.Parameter), TensorSpec.of(subject))


class _Building(pickle.Unpickler):
    def __init__(self, buffer: io.BytesIO) -> None:
        super().__init__(buffer)
        self._made: dict[int, Tensor] = {}

    def persistent_load(self, identity: Any) -> Tensor:
        number, is_parameter, look = identity
        if number not in self._made:
            tensor = zeros(look)
            self._made[number] = nn.Parameter(tensor, requires_grad=False) if is_parameter else tensor
        return self._made[number]


def _class_of(part: nn.Module) -> str:
    return f"{type(part).__module__}.{type(part).__qualname__}"


def _attributes(part: nn.Module) -> list[tuple[str, str]]:
    return sorted((name, _told(value)) for name, value in vars(part).items() if name not in _BOOKKEEPING)


def _told(value: Any) -> str:
    """A value in words that are the same in every process: functions by name, other objects by class."""
    if isinstance(value, (list, tuple)):
        return f"{type(value).__name__}({', '.join(map(_told, value))})"
    if isinstance(value, dict):
        return f"dict({', '.join(sorted(f'{_told(key)}: {_told(item)}' for key, item in value.items()))})"
    if isinstance(value, partial):
        return f"partial({_told([value.func, value.args, value.keywords])})"
    if isinstance(value, Tensor):
        return str(TensorSpec.of(value))
    if isinstance(value, (*PLAIN, torch.dtype, torch.device, Enum)) or dataclasses.is_dataclass(value):
        return _ADDRESS.sub("", repr(value))
    named = value if hasattr(value, "__qualname__") else type(value)
    return f"{named.__module__}.{named.__qualname__}"


def packages_of(module: nn.Module) -> list[str]:
    """Packages whose sources decide how a module computes, torch's own left out."""
    names = {_package_of(type(part).__module__) for part in module.modules()}
    return sorted((names | {"flashdreams.core", "flashdreams.engine.compile"}) - {"torch"})


def _package_of(name: str) -> str:
    parts = name.split(".")
    return ".".join(parts[:2]) if parts[0] == "flashdreams" else parts[0]
