"""What a recording holds: operators in order, and the memory that they read and write."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._pytree import tree_flatten, tree_map_only

from flashdreams.errors import GraphFaultError

_POISON = 0xFF
"""Every byte of it: not a number in all floating dtypes, -1 in whole numbers."""


def weakly(storage: torch.UntypedStorage) -> StorageWeakRef:
    """A reference that does not keep memory, but keeps its name from being given to other memory."""
    return StorageWeakRef(storage)  # type: ignore[no-untyped-call]


@dataclass(frozen=True)
class View:
    """A tensor of a recording: a piece of memory, and how the tensor lies in it."""

    place: int
    """Which memory, by its number on the tape."""
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    offset: int
    dtype: torch.dtype

    def tensor(self, memory: Sequence[torch.UntypedStorage]) -> Tensor:
        """The tensor over the memory of one replay."""
        storage = memory[self.place]
        return torch.empty(0, dtype=self.dtype, device=storage.device).set_(
            storage, self.offset, self.shape, self.strides
        )


@dataclass(frozen=True)
class Inside:
    """Memory made while recording. It is kept, as a graph keeps its pool."""

    storage: torch.UntypedStorage
    made_at: str
    """The operator and the line that made it."""

    def resolved(self) -> torch.UntypedStorage:
        """The memory."""
        return self.storage

    def escaped(self) -> bool:
        """Whether somebody outside holds it."""
        return torch._C._storage_Use_Count(self.storage._cdata) > 1

    def poison(self) -> None:
        """Make whatever is read of it look wrong."""
        torch.empty(0, dtype=torch.uint8, device=self.storage.device).set_(self.storage).fill_(_POISON)


@dataclass(frozen=True)
class Constant:
    """A single value of the host's, such as the 0 in ``x[0] = 0``: a graph has it among its arguments."""

    storage: torch.UntypedStorage
    value: object

    def resolved(self) -> torch.UntypedStorage:
        """The memory."""
        return self.storage


@dataclass(frozen=True)
class Outside:
    """Memory from outside. A graph knows its address and nothing else, so it is not kept alive."""

    reference: StorageWeakRef
    address: int
    met_at: str
    """The operator and the line that met it first."""

    def resolved(self) -> torch.UntypedStorage:
        """The memory, if it is still there.

        Raises:
            GraphFaultError: It was freed, or is elsewhere.
        """
        storage: torch.UntypedStorage | None = torch.UntypedStorage._new_with_weak_ptr(self.reference.cdata)
        if storage is not None and storage.data_ptr() == self.address:
            return storage
        raise GraphFaultError(
            f"A stale pointer: {self.met_at} uses memory that was {'freed' if storage is None else 'moved'}.",
            "A replay uses the addresses of its capture again, so the memory there is kept and not replaced.",
            "Allocate it once, in allocate_cache or when the rollout begins, and copy new values into it.",
        )


@dataclass(frozen=True)
class Operation:
    """One operator as it was called, with a view for each tensor."""

    function: Callable[..., Any]
    args: Any
    kwargs: Any
    made: tuple[tuple[int, View], ...]
    """Results that lie in memory made by the operator, each by its number among the results."""
    where: str
    """File and line of the code that called it."""
    only_looks: bool
    """Whether all that it does is to look at memory in another way."""

    @property
    def name(self) -> str:
        """The operator, and the line that called it."""
        return f"{self.function} at {self.where}"

    def run(self, memory: Sequence[torch.UntypedStorage]) -> None:
        """Run it on the memory of one replay, its results into the places that they had."""
        if self.only_looks:
            return
        args, kwargs = tree_map_only(View, lambda view: view.tensor(memory), (self.args, self.kwargs))
        results, _ = tree_flatten(self.function(*args, **kwargs))
        for number, view in self.made:
            view.tensor(memory).copy_(results[number])


@dataclass
class Tape:
    """A recording."""

    operations: list[Operation] = field(default_factory=list)
    places: list[Inside | Outside | Constant] = field(default_factory=list)
    written: set[int] = field(default_factory=set)
    """Numbers of the places that operators changed."""

    @property
    def inside(self) -> list[Inside]:
        """The memory that was made while recording."""
        return [place for place in self.places if isinstance(place, Inside)]

    @torch.no_grad()
    def play(self) -> None:
        """Run all operators again; what they made on the way is poisoned afterwards.

        Raises:
            GraphFaultError: Memory from outside is not where it was.
        """
        memory = [place.resolved() for place in self.places]
        for operation in self.operations:
            operation.run(memory)
        self.poison()

    def poison(self) -> None:
        """Poison what was made inside: the next replay of any graph may write there."""
        for place in self.inside:
            place.poison()

    def written_outside(self) -> dict[int, Tensor]:
        """Copies of the bytes of all memory from outside that operators changed, by its number."""
        outside = [n for n in self.written if isinstance(self.places[n], Outside)]
        return {n: _bytes_of(self.places[n].resolved()).clone() for n in outside}


def _bytes_of(storage: torch.UntypedStorage) -> Tensor:
    return torch.empty(0, dtype=torch.uint8, device=storage.device).set_(storage)
