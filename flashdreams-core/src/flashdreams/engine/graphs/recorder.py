"""Records the operators of a function, and refuses what a capture on a card could not hold."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map_only

from flashdreams.engine.graphs.operators import calling_line, is_constant, refusal
from flashdreams.engine.graphs.tape import Constant, Inside, Operation, Outside, Tape, View, weakly
from flashdreams.errors import GraphFaultError


class Recorder(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Records onto a tape what is run inside, while it runs.

    Args:
        refuses: Whether to raise at what a capture could not hold; a recording for comparison goes on.
    """

    def __init__(self, *, refuses: bool = True) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.tape = Tape()
        self._refuses = refuses
        self._numbers: dict[int, int] = {}

    def __torch_dispatch__(
        self,
        func: Any,
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Record one operator and run it.

        Raises:
            GraphFaultError: A capture could not hold it.
        """
        where, given = calling_line(), (args, kwargs or {})
        name = f"{func} at {where}"
        reason = refusal(func, args) if self._refuses else None
        if reason is not None:
            raise _refused(name, reason)
        if is_constant(func, args):
            self._keep(args[0])
        args, kwargs = tree_map_only(Tensor, lambda t: self._view(t, name, made=False), given)
        known = len(self.tape.places)
        result = func(*given[0], **given[1])
        tensors = [(n, t) for n, t in enumerate(tree_flatten(result)[0]) if isinstance(t, Tensor)]
        seen = [(n, self._view(t, name, made=True)) for n, t in tensors]
        made = tuple((n, view) for n, view in seen if view.place >= known)
        self.tape.written.update(view.place for view in _changed(func, args, kwargs or {}))
        looks = not made and not func._schema.is_mutable
        self.tape.operations.append(Operation(func, args, kwargs, made, where, looks))
        return result

    def _keep(self, constant: Tensor) -> None:
        storage = constant.untyped_storage()
        self._numbers[storage._cdata] = len(self.tape.places)
        self.tape.places.append(Constant(storage, constant.item()))

    def _view(self, tensor: Tensor, name: str, *, made: bool) -> View:
        storage = tensor.untyped_storage()
        number = self._numbers.setdefault(storage._cdata, len(self.tape.places))
        if number == len(self.tape.places):
            outside = Outside(weakly(storage), storage.data_ptr(), name)
            self.tape.places.append(Inside(storage, name) if made else outside)
        shape, strides = tuple(tensor.shape), tensor.stride()
        return View(number, shape, strides, int(tensor.storage_offset()), tensor.dtype)


def _refused(name: str, reason: str) -> GraphFaultError:
    return GraphFaultError(
        f"{name} cannot be captured: {reason}.",
        "A stage runs on the device alone, on tensors that are there before it begins.",
        "Do it before the stage: in take_control, in begin_chunk, or when the rollout begins.",
    )


def _changed(func: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> Iterator[View]:
    """The views that an operator writes to."""
    for position, argument in enumerate(func._schema.arguments):
        if argument.alias_info is not None and argument.alias_info.is_write:
            given = args[position] if position < len(args) else kwargs.get(argument.name)
            yield from (view for view in tree_flatten(given)[0] if isinstance(view, View))
