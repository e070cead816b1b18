"""Graphs without a card: recordings that are replayed in this process, and held to what a card would do.

A recording knows memory from outside by its address, makes its own memory once, and poisons that after every
replay. So whatever would break under replay on a card breaks here, and says where.
"""

from __future__ import annotations

import gc
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch.utils._python_dispatch import _disable_current_modes

from flashdreams.engine.graphs.backend import ResultT
from flashdreams.engine.graphs.comparing import compare
from flashdreams.engine.graphs.recorder import Recorder
from flashdreams.engine.graphs.tape import Tape
from flashdreams.errors import GraphFaultError
from flashdreams.io.memory import free_host_memory


@dataclass(frozen=True, eq=False)
class RecordedGraph:
    """A recording, and the function that it was made of where replays are to be checked against it."""

    tape: Tape
    function: Callable[[], None] | None = None

    @property
    def bytes(self) -> int:
        """Memory of all that the operators make on the way."""
        return sum(place.storage.nbytes() for place in self.tape.inside)

    def replay(self) -> None:
        """Run the operators again. Who watches the operators of this process sees none of it, as on a card.

        Raises:
            GraphFaultError: Memory is not where it was; or, where replays are checked, the function does
                something else than at the capture.
        """
        with _disable_current_modes():
            if self.function is None:
                self.tape.play()
            else:
                self._replay_beside(self.function)

    def _replay_beside(self, function: Callable[[], None]) -> None:
        now = record(function, refuses=False)
        compare(self.tape, now)
        expected = now.written_outside()
        self.tape.play()
        for number, values in self.tape.written_outside().items():
            if not torch.equal(values, expected[number]):
                raise _other_values(self.tape, number)


class RecordingBackend:
    """Records functions on the CPU, and replays the recordings.

    Args:
        checks: Whether each replay also runs the function as it is, to name the first operator in which the
            two differ; that takes three times as long.
    """

    def __init__(self, *, checks: bool = False) -> None:
        self.checks = checks

    def run_first(self, function: Callable[[], ResultT]) -> ResultT:
        """Run a function as it is."""
        return function()

    def capture(self, function: Callable[[], None], pool: str) -> RecordedGraph:
        """Record a function; it is done as it is recorded.

        Raises:
            GraphFaultError: A card could not capture it, or memory that it makes outlives it.
        """
        tape = record(function)
        if any(place.escaped() for place in tape.inside):
            gc.collect()
        for place in tape.inside:
            if place.escaped():
                raise _escaped(place.made_at)
        tape.poison()
        return RecordedGraph(tape, function if self.checks else None)

    def memory(self) -> str:
        """Free memory of the host."""
        free = free_host_memory()
        return "unknown" if free is None else f"{free / 2**30:.2f} GiB free"


def record(function: Callable[[], None], *, refuses: bool = True) -> Tape:
    """The operators of a function, run once."""
    recorder = Recorder(refuses=refuses)
    with torch.no_grad(), recorder:
        function()
    return recorder.tape


def _escaped(made_at: str) -> GraphFaultError:
    return GraphFaultError(
        f"The memory that {made_at} makes is kept beyond the stage.",
        "What a stage makes on the way is overwritten by the next replay: read later, it is noise.",
        "Copy it into memory of the rollout's cache, allocated in allocate_cache.",
    )


def _other_values(tape: Tape, number: int) -> GraphFaultError:
    met_at = getattr(tape.places[number], "met_at", "")
    return GraphFaultError(
        f"A replay leaves other values than the stage itself in memory that is first used by {met_at}.",
        "A stage that is run again on the same slot has the same result.",
        "Look for what it reads and also changes, and for memory that is read before it is written.",
    )
