"""Trees of tensors: whatever changes during a rollout, copied without moving it.

A tree is a tensor, or a dict, list or tuple of trees, or a dataclass whose fields are trees; any other
value is a leaf that is kept as it is. An object with methods ``snapshot()`` and ``restore(snapshot)``
looks after itself.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor


def map_tensors(function: Callable[[Tensor], Tensor], tree: Any) -> Any:
    """The same tree with every tensor replaced by ``function(tensor)``."""
    if isinstance(tree, Tensor):
        return function(tree)
    if isinstance(tree, dict):
        return {key: map_tensors(function, value) for key, value in tree.items()}
    if isinstance(tree, (list, tuple)):
        mapped = [map_tensors(function, value) for value in tree]
        return type(tree)(*mapped) if hasattr(tree, "_fields") else type(tree)(mapped)
    if dataclasses.is_dataclass(tree) and not isinstance(tree, type):
        fields = {f.name: getattr(tree, f.name) for f in dataclasses.fields(tree) if f.init}
        return dataclasses.replace(tree, **map_tensors(function, fields))
    return tree


def tensors(tree: Any) -> Iterator[Tensor]:
    """Every tensor of a tree, in a fixed order."""
    if isinstance(tree, Tensor):
        yield tree
    else:
        for value in _children(tree):
            yield from tensors(value)


def signature(tree: Any) -> Any:
    """Structure, shapes and dtypes of a tree, comparable with ``==``."""
    if isinstance(tree, Tensor):
        return (tuple(tree.shape), tree.dtype)
    if isinstance(tree, dict):
        return {key: signature(value) for key, value in tree.items()}
    children = _children(tree)
    return (type(tree), [signature(value) for value in children]) if children else type(tree)


def updated(old: Any, new: Any, device: torch.device | None = None) -> Any:
    """``new``'s values at ``old``'s addresses where the two have one signature, else a copy of ``new``.

    With ``device`` the copy is made there.
    """
    if old is not None and signature(old) == signature(new) and _same_leaves(old, new):
        for target, source in zip(tensors(old), tensors(new), strict=True):
            target.copy_(source)
        return old
    return map_tensors(lambda t: t.detach().to(device or t.device, copy=True), new)


def host_copy(tree: Any) -> Any:
    """A copy of a tree in host memory that shares nothing with it."""
    if hasattr(tree, "snapshot"):
        return tree.snapshot()
    if isinstance(tree, Tensor):
        return tree.detach().to("cpu", copy=True)
    if dataclasses.is_dataclass(tree) and not isinstance(tree, type):
        return {f.name: host_copy(getattr(tree, f.name)) for f in dataclasses.fields(tree)}
    if isinstance(tree, dict):
        return {key: host_copy(value) for key, value in tree.items()}
    if isinstance(tree, (list, tuple)):
        return type(tree)([host_copy(value) for value in tree])
    return tree


def restore_dataclass(target: Any, copied: dict[str, Any], device: torch.device) -> None:
    """Write what :func:`host_copy` made of a dataclass back into it, in place where shapes allow."""
    for name, value in copied.items():
        current = getattr(target, name)
        if hasattr(current, "restore"):
            current.restore(value)
        else:
            setattr(target, name, updated(current, value, device))


def _children(tree: Any) -> list[Any]:
    if isinstance(tree, dict):
        return list(tree.values())
    if isinstance(tree, (list, tuple)):
        return list(tree)
    if dataclasses.is_dataclass(tree) and not isinstance(tree, type):
        return [getattr(tree, f.name) for f in dataclasses.fields(tree)]
    if hasattr(tree, "state_tensors"):
        return list(tree.state_tensors())
    return []


def _leaves(tree: Any) -> list[Any]:
    children = _children(tree)
    if isinstance(tree, Tensor):
        return []
    return [leaf for child in children for leaf in _leaves(child)] if children else [tree]


def _same_leaves(old: Any, new: Any) -> bool:
    """Whether everything that is no tensor is equal, so that only tensors need copying."""
    return all(a is b or a == b for a, b in zip(_leaves(old), _leaves(new), strict=True))
