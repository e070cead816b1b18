"""CUDA graphs: the only place that makes them."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch

from flashdreams.engine.graphs.backend import ResultT

_ERROR_MODE = "thread_local"
"""Other threads may go on allocating while this one captures: those that compile, for instance."""


@dataclass(frozen=True, eq=False)
class CudaCaptured:
    """A CUDA graph and what it holds."""

    graph: torch.cuda.CUDAGraph
    bytes: int
    """Memory that the capture added to its pool; less than it uses, where graphs before it left room."""

    def replay(self) -> None:
        """Launch the graph on the current stream."""
        self.graph.replay()


class CudaBackend:
    """Captures on a stream of its own, into pools that graphs share.

    Graphs of one pool may overlay one another's memory, so they are replayed one after the other, and what is
    to outlast a replay lies outside of the pool.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self._stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        self._pools: dict[str, Any] = {}

    def run_first(self, function: Callable[[], ResultT]) -> ResultT:
        """Run a function on the stream of captures: what libraries set up for each stream is then set up."""
        caller = torch.cuda.current_stream(self.device)
        self._stream.wait_stream(caller)
        with torch.cuda.stream(self._stream):
            result = function()
        caller.wait_stream(self._stream)
        return result

    def capture(self, function: Callable[[], None], pool: str) -> CudaCaptured:
        """Capture what a function does, without doing it.

        Raises:
            RuntimeError: It does what a capture cannot hold, or memory is short.
        """
        graph = torch.cuda.CUDAGraph()
        before = torch.cuda.memory_reserved(self.device)
        with (
            torch.cuda.device(self.device),
            # A capture that fails leaves its stream the current one.
            torch.cuda.stream(torch.cuda.current_stream(self.device)),
            _no_collection(),
            torch.cuda.graph(
                graph, pool=self._pool(pool), stream=self._stream, capture_error_mode=_ERROR_MODE
            ),
        ):
            function()
        return CudaCaptured(graph, max(0, torch.cuda.memory_reserved(self.device) - before))

    def memory(self) -> str:
        """Free and total memory of the card, and what torch holds of it."""
        free, total = torch.cuda.mem_get_info(self.device)
        held = torch.cuda.memory_reserved(self.device)
        gibibytes = [f"{count / 2**30:.2f} GiB" for count in (free, total, held)]
        return "{} free of {}, {} held by torch".format(*gibibytes)

    def _pool(self, name: str) -> Any:
        if name not in self._pools:
            self._pools[name] = torch.cuda.graph_pool_handle()
        return self._pools[name]


@contextmanager
def _no_collection() -> Iterator[None]:
    """Let no garbage be collected inside: destroying an old graph would break the capture."""
    gc.collect()
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
