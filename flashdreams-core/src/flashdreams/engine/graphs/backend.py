"""What captures and replays: CUDA on a card, a recording in this process without one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeVar

ResultT = TypeVar("ResultT")


class Captured(Protocol):
    """The operators of a function, ready to run again on the memory that they ran on."""

    @property
    def bytes(self) -> int:
        """Memory that is kept for what the operators make on the way."""
        ...

    def replay(self) -> None:
        """Run them all. Nothing is allocated, and the host waits for nothing."""
        ...


class GraphBackend(Protocol):
    """Captures functions."""

    def run_first(self, function: Callable[[], ResultT]) -> ResultT:
        """Run a function as it is, where it will be captured, so that all is set up."""
        ...

    def capture(self, function: Callable[[], None], pool: str) -> Captured:
        """Capture what a function does; it may or may not have been done when this returns.

        Args:
            function: What to capture. It keeps all results in memory from outside.
            pool: Name of the memory that the graph shares with others of that name: no two of these may run
                at the same time.

        Raises:
            Exception: It cannot be captured.
        """
        ...

    def memory(self) -> str:
        """How much memory there is, and how much is free, for people."""
        ...
