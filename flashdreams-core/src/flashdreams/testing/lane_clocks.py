"""A CPU that plays a device with lanes: operators run one by one, each dated by the lane where it queues.

Vector clocks (Fidge 1988, Mattern 1988) say which of two operators comes first *whatever the lanes do*:
those of one lane in their order, those of two lanes where one lane waited for a mark of the other. Two
operators that touch one memory, one of them writing, and of which neither comes first, race. So does memory
that is used again while a lane other than its own may be reading it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef

Clock = dict[str, int]
"""For each lane, how many of its operators certainly come before."""


@dataclass(frozen=True)
class RecordedMark:
    """A place in the queue of a recorded lane."""

    clock: Clock
    source: RecordedLanes

    def synchronize(self) -> None:
        """The host has waited: whatever is queued from now on, anywhere, comes later."""
        for lane in self.source.lanes:
            lane.wait(self)


@dataclass(eq=False)
class RecordedLane:
    """A lane whose operators run at once, and are dated."""

    name: str
    source: RecordedLanes
    clock: Clock = field(default_factory=dict)

    def mark(self) -> RecordedMark:
        """A copy of the clock."""
        return RecordedMark(dict(self.clock), self.source)

    def wait(self, mark: RecordedMark) -> None:
        """What comes before the mark comes before what is queued here from now on."""
        self.source.memory.sweep(self.source.lanes)
        for lane, tick in mark.clock.items():
            self.clock[lane] = max(tick, self.clock.get(lane, 0))

    @contextmanager
    def entered(self) -> Iterator[None]:
        """Make this the current lane."""
        before, self.source.here = self.source.here, self
        try:
            yield
        finally:
            self.source.here = before

    def keep(self, tensor: Tensor) -> None:
        """Its memory waits for this lane before it is used again."""
        self.source.memory.kept_for(tensor, self.name)

    def tick(self) -> int:
        """The date of the operator that is queued now."""
        self.clock[self.name] = self.clock.get(self.name, 0) + 1
        return self.clock[self.name]


@dataclass(frozen=True)
class Access:
    """An operator that touched a memory."""

    lane: str
    tick: int
    what: str
    """Operator, file and line."""

    def __str__(self) -> str:
        return f"{self.what} on {self.lane}"

    def is_before(self, clock: Clock) -> bool:
        """Whether it comes first, whatever the lanes do."""
        return self.tick <= clock.get(self.lane, 0)


@dataclass
class History:
    """What happened to one memory."""

    reference: StorageWeakRef
    owner: str | None
    """The lane that made it, whose later tensors may take its place; None where it was there before."""
    write: Access | None = None
    reads: dict[str, Access] = field(default_factory=dict)
    kept_for: set[str] = field(default_factory=set)

    def is_gone(self) -> bool:
        """Whether the memory was dropped."""
        gone: bool = self.reference.expired()  # type: ignore[no-untyped-call]
        return gone

    def accesses(self) -> list[Access]:
        """The last write, and the last read of each lane since."""
        return [*([self.write] if self.write else []), *self.reads.values()]


class Memories:
    """Every memory that operators touched, and the races for it."""

    def __init__(self) -> None:
        self.races: list[str] = []
        self._histories: dict[int, History] = {}
        self._owned: dict[int, History] = {}

    def of(self, tensor: Tensor, owner: str | None) -> History:
        """The history of a tensor's memory, begun where there is none."""
        storage = tensor.untyped_storage()
        key = storage._cdata
        if key not in self._histories:
            history = History(StorageWeakRef(storage), owner)  # type: ignore[no-untyped-call]
            self._histories[key] = history
            if owner:
                self._owned[key] = history
        return self._histories[key]

    def knows(self, tensor: Tensor) -> bool:
        """Whether it has a history."""
        return tensor.untyped_storage()._cdata in self._histories

    def kept_for(self, tensor: Tensor, lane: str) -> None:
        """Note that its memory waits for ``lane``."""
        self.of(tensor, None).kept_for.add(lane)

    def add(self, history: History, access: Access, clock: Clock, *, writes: bool) -> None:
        """Add an access, and the race if it is one."""
        others = history.accesses() if writes else [history.write] if history.write else []
        for other in others:
            if not other.is_before(clock):
                self._found(f"{access} touches what {other} may still be using")
        if writes:
            history.write, history.reads = access, {}
        else:
            history.reads[access.lane] = access

    def sweep(self, lanes: Sequence[RecordedLane]) -> None:
        """Look after memory that was dropped: its own lane may use it again at once.

        Memory without an owner was there before, and its history is kept: so its name is not given again.
        """
        clocks = {lane.name: lane.clock for lane in lanes}
        gone = [key for key, history in self._owned.items() if history.is_gone()]
        for key in gone:
            del self._histories[key]
            history = self._owned.pop(key)
            for access in history.accesses():
                late = not access.is_before(clocks[history.owner or ""])
                if late and access.lane not in history.kept_for:
                    self._found(
                        f"memory dropped on {history.owner} may be used again while {access} may still use it"
                    )

    def _found(self, race: str) -> None:
        if race not in self.races:
            self.races.append(race)


class RecordedLanes:
    """Lanes of a CPU that plays a device."""

    def __init__(self) -> None:
        self.memory = Memories()
        self.here = RecordedLane("the caller's lane", self)
        self.lanes = [self.here]

    def new_lane(self, *, urgent: bool = False) -> RecordedLane:
        """A lane; the urgent one is called aside, as in :class:`Lanes`."""
        lane = RecordedLane("aside" if urgent else "work", self)
        self.lanes.append(lane)
        return lane

    def current(self) -> RecordedLane:
        """The lane where operators queue now."""
        return self.here

    def holds(self, tensor: Tensor) -> bool:
        """Every tensor counts as the device's."""
        return True
