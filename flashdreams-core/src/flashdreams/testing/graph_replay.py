"""Whether a pipeline's chunks come out of graphs as they come out of its code, found out without a GPU.

The stages of every chunk are captured by a recording backend, which knows memory by its address and poisons
what a stage makes on the way, and each replay is compared with the stage itself, operator by operator.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from flashdreams.engine.graphs.executor import Capture, GraphExecution
from flashdreams.engine.graphs.operators import calling_line, makes_host_wait
from flashdreams.engine.graphs.recording import RecordingBackend
from flashdreams.engine.graphs.tape import weakly
from flashdreams.infra.pipeline.base import StreamInferencePipeline


@dataclass
class ReplayReport:
    """What a few rollouts from graphs showed."""

    captures: list[Capture] = field(default_factory=list)
    """Graphs that the warm-up captured; whatever is captured later is an error."""
    paths: list[list[str]] = field(default_factory=list)
    """How each chunk of each rollout was computed."""
    differing: list[tuple[int, int]] = field(default_factory=list)
    """Rollout and index of each chunk that is not, bit for bit, what it is without graphs."""
    between: list[tuple[str, ...]] = field(default_factory=list)
    """Operators that each steady chunk ran outside of graphs, in order."""
    waits: list[str] = field(default_factory=list)
    """Operators of steady chunks, outside of graphs, that make the host wait, and who calls them."""
    kept: list[str] = field(default_factory=list)
    """Operators of steady chunks whose memory was still in use when the chunk was final: a leak, or memory
    that is replaced instead of written."""

    @property
    def problems(self) -> list[str]:
        """What is not as it should be, a sentence each."""
        found = [
            f"Chunk {index} of rollout {number} differs from what it is without graphs."
            for number, index in self.differing
        ]
        found += [f"The host waits for {name}, between graphs." for name in dict.fromkeys(self.waits)]
        return found + [
            f"Memory made by {name} is kept after the chunk." for name in dict.fromkeys(self.kept)
        ]


def replay_rollouts(
    pipeline: StreamInferencePipeline,
    chunks: Sequence[int],
    controls: Callable[[int], Any] = lambda index: None,
    *,
    examples: Sequence[Any] | None = None,
    checks: bool = True,
    **conditions: Any,
) -> ReplayReport:
    """Warm a pipeline up, then make rollouts from graphs beside rollouts without.

    Chunks are steady once the window is full. The pipeline is left as it was, but for memory of its slots.

    Args:
        pipeline: On the CPU.
        chunks: Chunks of each rollout.
        controls: Input of each chunk.
        examples: Inputs for the warm-up, one of each kind that looks different to the network; the first
            chunk's where None.
        checks: Whether each replay is compared with the stage itself, operator by operator.
        **conditions: Of all rollouts.

    Raises:
        GraphFaultError: A stage cannot be captured, or a graph would replay it wrongly, or a graph is
            captured after the warm-up.
    """
    report = ReplayReport()
    config = pipeline.diffusion_model.transformer.config
    full = config.window // config.chunk
    graphs = GraphExecution(RecordingBackend(checks=checks), mode=True, strict=True)
    with _running(pipeline, graphs):
        given = [controls(0)] if examples is None else examples
        report.captures = pipeline.warmup(controls=given, conditions=conditions)
    for number, count in enumerate(chunks):
        expected = list(_rollout(pipeline, number, count, controls, conditions))
        with _running(pipeline, graphs), pipeline.initialize_cache(seed=number, **conditions) as rollout:
            report.paths.append([])
            for index in range(count):
                with ChunkWatch() as watch:
                    chunk = pipeline.generate(index, rollout, input=controls(index))
                    pipeline.finalize(index, rollout)
                if not torch.equal(chunk, expected[index]):
                    report.differing.append((number, index))
                report.paths[-1].append(rollout.path)
                del chunk
                if index >= full:
                    watch.tell(report)
    return report


def _rollout(
    pipeline: StreamInferencePipeline,
    seed: int,
    count: int,
    controls: Callable[[int], Any],
    conditions: dict[str, Any],
) -> Iterator[Tensor]:
    with pipeline.initialize_cache(seed=seed, **conditions) as rollout:
        yield from pipeline.stream(rollout, map(controls, range(count)))


@contextmanager
def _running(pipeline: StreamInferencePipeline, graphs: GraphExecution) -> Iterator[None]:
    before, pipeline.execution = pipeline.execution, graphs
    try:
        yield
    finally:
        pipeline.execution = before


class ChunkWatch(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Watches the operators of one chunk, those inside of graphs left out."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._operators: list[str] = []
        self.waits: list[str] = []
        """Operators that make the host wait, each with the line that called it."""
        self._made: list[tuple[str, StorageWeakRef]] = []

    def __torch_dispatch__(
        self,
        func: Any,
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Note one operator and run it."""
        name = f"{func} at {calling_line()}"
        self._operators.append(str(func))
        if makes_host_wait(func, args):
            self.waits.append(name)
        result = func(*args, **(kwargs or {}))
        given = {t.untyped_storage()._cdata for t in tree_leaves((args, kwargs)) if isinstance(t, Tensor)}
        made = [t.untyped_storage() for t in tree_leaves(result) if isinstance(t, Tensor)]
        self._made += [(name, weakly(storage)) for storage in made if storage._cdata not in given]
        return result

    def tell(self, report: ReplayReport) -> None:
        """Add what was seen, and what of the memory is still in use."""
        report.between.append(tuple(self._operators))
        report.waits += self.waits
        report.kept += self.kept()

    def kept(self) -> list[str]:
        """Operators, each with the line that called it, whose memory is still in use."""
        return [name for name, storage in self._made if not _is_free(storage)]


def _is_free(storage: StorageWeakRef) -> bool:
    return bool(storage.expired())  # type: ignore[no-untyped-call]
