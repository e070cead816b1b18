"""What is asked of an operator: who calls it, and whether a graph could hold it."""

from __future__ import annotations

import os
import sys
from typing import Any

import einops
import torch

WAITS = (torch.Tag.data_dependent_output, torch.Tag.dynamic_output_shape)
"""Tags of operators whose result, or its shape, depends on values of the device."""
_MASKS = (torch.bool, torch.uint8)
_LIBRARIES = tuple(os.path.join(package.__path__[0], "") for package in (torch, einops))
"""Folders of code that is passed over in search of the line that called an operator."""


def refusal(func: Any, args: tuple[Any, ...]) -> str | None:
    """Why a capture could not hold the operator; None where it can."""
    if makes_host_wait(func, args):
        return "it makes the host wait for a value of the device"
    if func is torch.ops.aten.lift_fresh.default and not is_constant(func, args):
        return "it makes a tensor from values of the host, which would be those of the capture for ever"
    may_drop_out = any(argument.name.startswith("dropout") for argument in func._schema.arguments)
    if torch.Tag.nondeterministic_seeded in func.tags and not may_drop_out:
        return "it draws random numbers"
    return None


def is_constant(func: Any, args: tuple[Any, ...]) -> bool:
    """Whether it makes a single value of the host a tensor; operators then take it as a number."""
    return func is torch.ops.aten.lift_fresh.default and args[0].dim() == 0


def makes_host_wait(func: Any, args: tuple[Any, ...]) -> bool:
    """Whether the host must know values of the device before it can go on."""
    return any(tag in func.tags for tag in WAITS) and not _takes_numbers(func, args)


def _takes_numbers(func: Any, args: tuple[Any, ...]) -> bool:
    """Whether it takes elements by their numbers: how many it takes is known without reading a mask."""
    indexing = func in (torch.ops.aten.index.Tensor, torch.ops.aten._unsafe_index.Tensor)
    return indexing and all(t.dtype not in _MASKS for t in args[1] if t is not None)


def calling_line() -> str:
    """File and line of the innermost code that is not torch's, for a dispatch mode that asks."""
    frame = sys._getframe(2)
    while frame.f_back is not None and _is_passed_over(frame.f_code.co_filename):
        frame = frame.f_back
    return f"{frame.f_code.co_filename}:{frame.f_lineno}"


def _is_passed_over(file: str) -> bool:
    return file.startswith((*_LIBRARIES, "<"))
