"""A call of a module, taken apart: tensors, callables, plain values, and what the call looks like."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any

from torch import Tensor
from torch.utils import _pytree as pytree

PLAIN = (type(None), bool, int, float, str)


class NoRegionError(Exception):
    """A module or a call that cannot be compiled as it is; the text says why."""


@dataclass(frozen=True)
class TensorSpec:
    """What a tensor looks like."""

    shape: tuple[int, ...]
    stride: tuple[int, ...]
    dtype: Any
    device: str

    @classmethod
    def of(cls, tensor: Tensor) -> TensorSpec:
        """The look of ``tensor``."""
        return cls(tuple(tensor.shape), tensor.stride(), tensor.dtype, str(tensor.device))


@dataclass(frozen=True)
class Place:
    """Stands for a tensor or a callable: the ``index``-th of its kind in the call."""

    kind: str
    """"tensor" or "callable"."""
    index: int


class Call:
    """The arguments of one call."""

    tensors: list[Tensor]
    callables: list[Callable[..., Any]]
    signature: Hashable
    """Equal for calls that the same compiled code can serve."""

    def __init__(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        leaves, self._tree = pytree.tree_flatten((args, kwargs))
        self.tensors, self.callables = [], []
        self._leaves = [self._taken(leaf) for leaf in leaves]
        looks = tuple((t.shape, t.stride(), t.dtype, t.device) for t in self.tensors)
        plain = tuple((type(leaf), leaf) for leaf in self._leaves)
        self.signature = (self._tree, plain, looks)

    def template(self) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Arguments with a :class:`Place` where a tensor or callable stood."""
        args, kwargs = pytree.tree_unflatten(self._leaves, self._tree)
        return args, kwargs

    def _taken(self, leaf: Any) -> Any:
        if isinstance(leaf, Tensor):
            self.tensors.append(leaf)
            return Place("tensor", len(self.tensors) - 1)
        if isinstance(leaf, PLAIN):
            return leaf
        if callable(leaf):
            self.callables.append(leaf)
            return Place("callable", len(self.callables) - 1)
        raise NoRegionError(f"it is called with a {type(leaf).__name__}")


def filled(
    template: tuple[tuple[Any, ...], dict[str, Any]], tensors: list[Tensor], callables: list[Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """A template with tensors and callables put back."""
    choices = {"tensor": tensors, "callable": callables}
    args, kwargs = pytree.tree_map(
        lambda leaf: choices[leaf.kind][leaf.index] if isinstance(leaf, Place) else leaf, template
    )
    return args, kwargs
