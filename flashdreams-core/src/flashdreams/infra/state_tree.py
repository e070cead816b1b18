"""Trees of tensors: whatever changes during a rollout, copied without moving it.

A tree is a tensor, a plain value (None, bool, int, float, str), or a dict, list, tuple or dataclass of
trees. An object with ``snapshot()`` and ``restore(snapshot)``, such as a KV cache, looks after itself.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

_PLAIN = (type(None), bool, int, float, str)


def mapped(function: Callable[[Tensor], Tensor], tree: Any) -> Any:
    """The same tree with every tensor replaced by ``function(tensor)``.

    Raises:
        TypeError: The tree holds something that is no tree.
    """
    if isinstance(tree, Tensor):
        return function(tree)
    return rebuilt(tree, [mapped(function, child) for _, child in children(tree)])


def tensors(tree: Any) -> Iterator[Tensor]:
    """Every tensor of a tree, and of the objects in it that tell theirs as ``state_tensors()``."""
    if isinstance(tree, Tensor):
        yield tree
    elif hasattr(tree, "state_tensors"):
        yield from tree.state_tensors()
    else:
        for _, child in children(tree):
            yield from tensors(child)


def signature(tree: Any) -> Any:
    """Structure, shapes, dtypes and plain values of a tree, comparable with ``==``."""
    if isinstance(tree, Tensor):
        return (tuple(tree.shape), tree.dtype)
    inside = children(tree)
    if inside or not isinstance(tree, _PLAIN):
        return (type(tree), [(key, signature(child)) for key, child in inside])
    return (type(tree), tree)


def updated(old: Any, new: Any, device: torch.device | None = None) -> Any:
    """``new``'s values at ``old``'s addresses where the two have one signature, else a copy of ``new``.

    With ``device`` the copy is made there.

    Raises:
        TypeError: ``new`` holds something that is no tree.
    """
    if signature(old) == signature(new):
        for target, source in zip(tensors(old), tensors(new), strict=True):
            copy_in(target, source)
        return old
    return mapped(lambda t: t.detach().to(device or t.device, copy=True), new)


def copy_in(target: Tensor, source: Tensor) -> None:
    """``target.copy_(source)`` that never makes the host wait for a GPU.

    What goes from the host to a GPU goes through pinned memory of torch's cache, which keeps it until it has
    arrived.
    """
    if target.is_cuda and source.device.type == "cpu":
        target.copy_(source.to(target.dtype).contiguous().pin_memory(), non_blocking=True)
    else:
        target.copy_(source)


def snapshot(tree: Any) -> Any:
    """A copy of a tree in host memory that shares nothing with it."""
    if isinstance(tree, Tensor):
        return tree.detach().to("cpu", copy=True)
    if looks_after_itself(tree):
        return tree.snapshot()
    return rebuilt(tree, [snapshot(child) for _, child in children(tree)])


def snapshot_bytes(tree: Any) -> int:
    """Bytes that a :func:`snapshot` of a tree would take, without taking it.

    An object that looks after itself says it as ``snapshot_bytes()``, or counts with its ``state_tensors()``.
    """
    if hasattr(tree, "snapshot_bytes"):
        return int(tree.snapshot_bytes())
    if isinstance(tree, Tensor) or looks_after_itself(tree):
        return sum(tensor.nbytes for tensor in tensors(tree))
    return sum(snapshot_bytes(child) for _, child in children(tree))


def taken_bytes(saved: Any) -> int:
    """Bytes of the tensors and arrays that :func:`snapshot` returned, whatever objects in it have made."""
    if isinstance(getattr(saved, "nbytes", None), int):
        return int(saved.nbytes)
    try:
        return sum(taken_bytes(child) for _, child in children(saved))
    except TypeError:
        return 0


def restored(current: Any, saved: Any, device: torch.device) -> Any:
    """What :func:`snapshot` saved, at ``current``'s addresses where the two have one shape."""
    if looks_after_itself(current):
        current.restore(saved)
        return current
    here = dict(children(current))
    if not here or type(current) is not type(saved):
        return updated(current, saved, device)
    return rebuilt(saved, [restored(here.get(key), child, device) for key, child in children(saved)])


def carried_over(current: Any, other: Any, device: torch.device) -> Any:
    """What ``other`` holds now, at ``current``'s addresses where the two have one shape; on the device.

    An object that looks after itself does it by ``take(other)`` where it can, else by way of a snapshot.
    """
    if looks_after_itself(current):
        if hasattr(current, "take"):
            current.take(other)
        else:
            current.restore(other.snapshot())
        return current
    here = dict(children(current))
    if not here or type(current) is not type(other):
        return updated(current, other, device)
    return rebuilt(other, [carried_over(here.get(key), child, device) for key, child in children(other)])


def looks_after_itself(tree: Any) -> bool:
    """Whether it is an object with ``snapshot()`` and ``restore(snapshot)``, which is no tree inside."""
    return hasattr(tree, "snapshot") and hasattr(tree, "restore")


def children(tree: Any) -> list[tuple[Any, Any]]:
    """The trees right inside a tree, each with its place; in an order that does not depend on history.

    Raises:
        TypeError: It is no tree.
    """
    if isinstance(tree, dict):
        return sorted(tree.items(), key=lambda item: repr(item[0]))
    if isinstance(tree, (list, tuple)):
        return list(enumerate(tree))
    if dataclasses.is_dataclass(tree) and not isinstance(tree, type):
        return [(field.name, getattr(tree, field.name)) for field in dataclasses.fields(tree)]
    if isinstance(tree, (Tensor, *_PLAIN)) or looks_after_itself(tree):
        return []
    raise TypeError(
        f"{type(tree).__name__} cannot be part of a rollout's state: it holds tensors, plain values, "
        "dicts, lists, tuples and dataclasses of these, or objects with snapshot() and restore()."
    )


def rebuilt(tree: Any, inside: list[Any]) -> Any:
    """A tree like ``tree`` with others right inside it, in the order of :func:`children`."""
    if isinstance(tree, dict):
        return dict(zip((key for key, _ in children(tree)), inside, strict=True))
    if isinstance(tree, (list, tuple)):
        return type(tree)(*inside) if hasattr(tree, "_fields") else type(tree)(inside)
    if inside:
        clone = copy.copy(tree)
        for field, child in zip(dataclasses.fields(tree), inside, strict=True):
            object.__setattr__(clone, field.name, child)
        return clone
    return tree
