"""Records the calls that a function makes to torch, and writes them down as a straight line of code.

The line is a Python function that makes the same calls with nothing in between: no modules, no checks, no
bookkeeping. It keeps the flow of the data, so its results are the function's own, bit for bit, and memory is
given back where the function gives it back. Views of memory that stays where it is, such as that of the cache
up to its fill level, are taken once and kept.
"""

from __future__ import annotations

import math
import weakref
from collections.abc import Callable, Iterator
from functools import partial
from itertools import zip_longest
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

_BUILTIN: dict[Any, Callable[..., Any]] = {F.layer_norm: torch.layer_norm, F.rms_norm: torch.rms_norm}
"""What functions of torch that are written in Python come to."""

_READS_VALUES = frozenset(
    {
        *(Tensor.item, Tensor.tolist, Tensor.numpy, Tensor.cpu, Tensor.__bool__, Tensor.__int__),
        *(Tensor.__float__, Tensor.__index__, Tensor.__array__, Tensor.nonzero, torch.nonzero, torch.equal),
        *(Tensor.equal, torch.allclose, Tensor.allclose, torch.is_nonzero, Tensor.is_nonzero),
    }
)
"""Functions whose result on the host may be another next time."""


class Line:
    """The calls of one run of a function, which can be made again."""

    def __init__(self) -> None:
        self.unfit: str | None = None
        """Why it must not be run again; None where it may."""
        self._lines: list[str] = []
        self._constants: dict[str, Any] = {}

    @property
    def calls(self) -> int:
        """How many calls it makes."""
        return sum(not line.startswith("del ") for line in self._lines)

    def is_like(self, other: Line) -> bool:
        """Whether both make the same calls, on the same memory."""
        return (
            self._lines == other._lines
            and self._constants.keys() == other._constants.keys()
            and all(_alike(value, other._constants[name]) for name, value in self._constants.items())
        )

    def difference(self, other: Line) -> str:
        """In what two lines differ, for people."""
        pairs = zip_longest(other._lines, self._lines, fillvalue="nothing")
        changed = next(((before, after) for before, after in pairs if before != after), None)
        if changed is not None:
            return f"where it called {changed[0]}, it calls {changed[1]} the next time"
        held = other._constants
        moved = [value for name, value in self._constants.items() if not _alike(value, held.get(name))]
        return f"{len(moved)} values that it is given are others the next time, first {_described(moved)}"

    def function(self) -> Callable[[], Any]:
        """The line as a function.

        Tensors that no call made, such as weights and caches, are those of the recording.
        """
        names = dict(self._constants)
        body = "\n    ".join(self._lines)
        exec(compile(f"def line():\n    {body}\n", "<straight line>", "exec"), names)
        line: Callable[[], Any] = names["line"]
        return line


def record(function: Callable[[], Any], *, keeps_views: bool = True) -> tuple[Any, Line]:
    """Run ``function``, and return what it returns, with the line of its calls.

    Args:
        function: What to run.
        keeps_views: Whether views of memory that no call has made are taken once; if not, the line makes
            every call that the function makes.
    """
    with _Recorder(keeps_views) as recorder:
        result = function()
    recorder.end(result)
    return result, recorder.line


class _Recorder(TorchFunctionMode):
    """Writes down every call that gives a tensor, or writes to one, while it is entered."""

    def __init__(self, keeps_views: bool) -> None:
        super().__init__()
        self.line = Line()
        self._ambience = _ambience()
        self._keeps_views = keeps_views
        self._names: dict[int, str] = {}
        self._alive: dict[int, weakref.ref[Tensor]] = {}
        self._free: list[str] = []
        self._constant_of: dict[int, str] = {}

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Call ``func``, and write the call down."""
        kwargs = kwargs or {}
        if func in _READS_VALUES:
            self.line.unfit = f"it calls {func.__name__}, which reads values on the host"
        elif _name_of(func).endswith("__set__"):
            self.line.unfit = "it sets an attribute of a tensor"
        elif _ambience() != self._ambience:
            self.line.unfit = "it sets autocast, or the default dtype, for a part of its calls"
        given = [*map(self._text, args), *(f"{name}={self._text(value)}" for name, value in kwargs.items())]
        result = func(*args, **kwargs)
        if self._keeps_views and self._only_views((args, kwargs), result):
            for view in _tensors(result):
                self._constant(view)
        elif next(_tensors(result), None) is not None or _only_writes(func):
            call = f"{self._text(_BUILTIN.get(func, func))}({', '.join(given)})"
            fresh = self._name(result)
            self._write(f"{self._target(result, fresh)} = {call}" if fresh else call)
        return result

    def end(self, result: Any) -> None:
        """Write down what the line returns."""
        self._write(f"return {self._text(result)}")
        self._alive.clear()

    def _write(self, line: str) -> None:
        self.line._lines.append(line)

    def _only_views(self, given: Any, result: Any) -> bool:
        """Whether a call has made nothing but views of memory that was there before."""
        sources, views = list(_tensors(given)), list(_tensors(result))
        if not views or any(id(tensor) not in self._constant_of for tensor in sources):
            return False
        places = {tensor.untyped_storage().data_ptr() for tensor in sources}
        same = {id(tensor) for tensor in sources}  # what was written to, and is handed back
        return all(id(v) not in same and v.untyped_storage().data_ptr() in places for v in views)

    def _target(self, result: Any, fresh: set[int]) -> str:
        """What a call is assigned to: names for the tensors that it has made, and for the rest none."""
        if isinstance(result, list | tuple):
            return f"({''.join(f'{self._target(item, fresh)}, ' for item in result)})"
        if isinstance(result, dict):
            self.line.unfit = "it calls what returns tensors in a dict"
        return self._names[id(result)] if id(result) in fresh else "_"

    def _name(self, result: Any) -> set[int]:
        """Name the tensors that a call has made; the ids of these."""
        fresh = [t for t in _tensors(result) if id(t) not in self._names and id(t) not in self._constant_of]
        for tensor in fresh:
            name = self._free.pop() if self._free else f"t{len(self._names)}"
            self._names[id(tensor)] = name
            self._alive[id(tensor)] = weakref.ref(tensor, partial(self._died, id(tensor)))
        return {id(tensor) for tensor in fresh}

    def _died(self, key: int, _: object) -> None:
        if key in self._alive:
            name = self._names.pop(key)
            del self._alive[key]
            self._free.append(name)
            self._write(f"del {name}")

    def _text(self, value: Any) -> str:
        """A value as it stands in the source."""
        if isinstance(value, Tensor):
            return self._names.get(id(value)) or self._constant(value)
        if isinstance(value, list):
            return f"[{', '.join(map(self._text, value))}]"
        if isinstance(value, tuple):
            return f"({''.join(f'{self._text(item)}, ' for item in value)})"
        if isinstance(value, dict):
            return f"{{{', '.join(f'{self._text(k)}: {self._text(v)}' for k, v in value.items())}}}"
        if isinstance(value, slice):
            return f"slice({', '.join(map(self._text, (value.start, value.stop, value.step)))})"
        literal = value is None or type(value) in (bool, int, str)
        if literal or (type(value) is float and math.isfinite(value)):
            return repr(value)
        return self._constant(value)

    def _constant(self, value: Any) -> str:
        if id(value) not in self._constant_of:
            name = f"c{len(self._constant_of)}"
            self._constant_of[id(value)] = name
            self.line._constants[name] = value  # kept, so that no other value takes its id
        return self._constant_of[id(value)]


def _name_of(func: Any) -> str:
    return str(getattr(func, "__qualname__", "") or getattr(func, "__name__", ""))


def _only_writes(func: Any) -> bool:
    """Whether a function that returns no tensor has written to one that it was given."""
    schema = getattr(func, "_schema", None)
    name = _name_of(func).rpartition(".")[2]
    in_place = name.endswith("_") and not name.endswith("__")
    return func is Tensor.__setitem__ or in_place or bool(schema is not None and schema.is_mutable)


def _ambience() -> tuple[Any, ...]:
    """What decides how a call is computed beside its arguments."""
    cpu = torch.get_autocast_dtype("cpu")
    return torch.is_autocast_enabled("cpu"), cpu, torch.get_default_dtype()


def _tensors(tree: Any) -> Iterator[Tensor]:
    if isinstance(tree, Tensor):
        yield tree
    elif isinstance(tree, dict | list | tuple):
        for item in tree.values() if isinstance(tree, dict) else tree:
            yield from _tensors(item)


def _alike(one: Any, other: Any) -> bool:
    """Whether two constants are the same: tensors, where they are the same memory."""
    if isinstance(one, Tensor) and isinstance(other, Tensor):
        return _place(one) == _place(other)
    return one is other or (type(one) is type(other) and bool(one == other))


def _place(tensor: Tensor) -> tuple[Any, ...]:
    return tensor.data_ptr(), tensor.shape, tensor.stride(), tensor.dtype, tensor.device


def _described(values: list[Any]) -> str:
    value = next(iter(values), None)
    return f"a tensor {list(value.shape)}" if isinstance(value, Tensor) else repr(value)
