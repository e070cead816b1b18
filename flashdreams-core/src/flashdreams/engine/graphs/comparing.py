"""What a stage does now, beside what it did when it was captured."""

from __future__ import annotations

from itertools import zip_longest

from torch.utils._pytree import tree_flatten

from flashdreams.engine.graphs.tape import Constant, Operation, Outside, Tape, View
from flashdreams.errors import GraphFaultError


def compare(captured: Tape, now: Tape) -> None:
    """Find the first operator in which a stage is not what was captured of it.

    Raises:
        GraphFaultError: There is one; it is named with its file and line.
    """
    for before, after in zip_longest(captured.operations, now.operations):
        if before is None or after is None or before.function is not after.function:
            raise _other_branch(before, after)
        for old, new in zip_longest(_leaves(before), _leaves(after)):
            if isinstance(old, View) and isinstance(new, View):
                _compare_memory(captured, now, old, new, after)
            elif type(old) is not type(new) or old != new:
                raise _other_argument(after, old, new)


def _leaves(operation: Operation) -> list[object]:
    return tree_flatten((operation.args, operation.kwargs))[0]


def _compare_memory(captured: Tape, now: Tape, old: View, new: View, operation: Operation) -> None:
    if (old.shape, old.strides, old.offset, old.dtype) != (new.shape, new.strides, new.offset, new.dtype):
        raise _other_argument(operation, _described(old), _described(new))
    before, after = captured.places[old.place], now.places[new.place]
    if isinstance(before, Outside) and isinstance(after, Outside):
        if before.reference.cdata == after.reference.cdata and before.address == after.address:
            return
    elif isinstance(before, Constant) and isinstance(after, Constant):
        if before.value == after.value:
            return
        raise _other_argument(operation, before.value, after.value)
    elif type(before) is type(after) and old.place == new.place:
        return
    raise GraphFaultError(
        f"A stale pointer: {operation.name} uses other memory than at its capture.",
        "A replay uses the addresses of its capture again.",
        "Allocate it once, in allocate_cache or when the rollout begins, and copy new values into it.",
    )


def _described(view: View) -> str:
    return f"{view.dtype} {list(view.shape)} with strides {list(view.strides)} from {view.offset}"


def _other_branch(before: Operation | None, after: Operation | None) -> GraphFaultError:
    now = "nothing" if after is None else after.name
    then = "nothing" if before is None else before.name
    return GraphFaultError(
        f"A Python branch: the stage runs {now}, and at its capture ran {then}.",
        "A replay runs the operators of its capture, whatever Python would decide now.",
        "Let graph_key() return what the branch depends on, or decide on the device (torch.where).",
    )


def _other_argument(operation: Operation, old: object, new: object) -> GraphFaultError:
    return GraphFaultError(
        f"A new argument: {operation.name} is given {new}, and was given {old} at its capture.",
        "A replay gives its operators the arguments of its capture.",
        "Keep it in a tensor that begin_chunk fills, or let graph_key() return it, if it has few values.",
    )
