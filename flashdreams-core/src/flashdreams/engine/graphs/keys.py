"""Which graph of a stage fits: the key that a graph is found by."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field

from torch import Tensor

from flashdreams.infra import state_tree
from flashdreams.infra.pipeline.execution import Stage
from flashdreams.infra.pipeline.slots import Slot

Place = tuple[Hashable, ...]
"""Where a tensor is, and how it lies there: storage, address, shape, strides, dtype and device."""


@dataclass(frozen=True)
class GraphKey:
    """What must be as it was at the capture for a graph to be replayed."""

    stage: str
    values: Hashable
    """Values on the host that decide which operators run."""
    places: tuple[Place, ...] = field(repr=False)
    """Of every tensor that the stage reads and writes in its slot."""
    variant: str = ""
    """Which code runs the stage, where there is more than one."""

    @property
    def kind(self) -> str:
        """The values for people: the first of them, where there are several."""
        values = self.values[0] if isinstance(self.values, tuple) and self.values else self.values
        return str(values)


def graph_key(stage: Stage, slot: Slot, variant: str = "") -> GraphKey:
    """The key of a stage on a slot as it is now, run by the code that ``variant`` names.

    Raises:
        TypeError: The slot holds an object that cannot list its tensors.
    """
    places = tuple(place_of(tensor) for tensor in state_tree.tensors(stage.memory(slot)))
    return GraphKey(stage.name, stage.key(slot), places, variant)


def place_of(tensor: Tensor) -> Place:
    """The storage is named by what the weak references of a graph keep from being used again.

    So memory that was freed and given to another tensor is another place, although the address is the same.
    """
    return (
        tensor.untyped_storage()._cdata,
        tensor.data_ptr(),
        tensor.shape,
        tensor.stride(),
        tensor.dtype,
        tensor.device,
    )


def difference(old: GraphKey, new: GraphKey) -> str:
    """In what two keys of one stage differ, for people."""
    if old.variant != new.variant:
        return f"the code is {new.variant or 'as written'}, and was {old.variant or 'as written'}"
    if old.values != new.values:
        return f"the values on the host are {new.values}, and were {old.values}"
    if len(old.places) != len(new.places):
        return f"the slot holds {len(new.places)} tensors, and held {len(old.places)}"
    pairs = zip(old.places, new.places, strict=True)
    moved = [(before, after) for before, after in pairs if before != after]
    if not moved:
        return "nothing differs"
    (before, after), names = moved[0], ("storage", "address", "shape", "strides", "dtype", "device")
    changed = [f"{n} {b} to {a}" for n, b, a in zip(names, before, after, strict=True) if a != b]
    return f"{len(moved)} of {len(new.places)} tensors moved or changed, the first from {', '.join(changed)}"
