"""Chunks by compiled code: from the first on, or from where it is ready."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from torch import Tensor

from flashdreams.engine.compile.compiler import Compiler
from flashdreams.engine.first_chunks import make_first_chunks
from flashdreams.engine.hot_swap import HotSwap
from flashdreams.infra.pipeline.execution import Execution, Stage, Warming
from flashdreams.infra.pipeline.rollout import Rollout
from flashdreams.infra.pipeline.slots import Slot

if TYPE_CHECKING:
    from flashdreams.infra.pipeline.base import StreamInferencePipeline

EAGER, COMPILED = "eager", "compiled"


class CompiledExecution(Execution):
    """Runs the stages of a pipeline whose compiler is attached.

    Args:
        compiler: Has the code. Without ``hot_swap`` it must wait for it, so that all is compiled.
        hot_swap: Decides when a rollout goes over to it.
    """

    def __init__(self, compiler: Compiler, hot_swap: HotSwap | None = None) -> None:
        self._compiler, self._hot_swap = compiler, hot_swap
        self._is_compiled: WeakKeyDictionary[Slot, bool] = WeakKeyDictionary()

    @property
    def goes_on(self) -> str:
        """Whether code is still being compiled."""
        if not self._compiler.is_busy:
            return ""
        return "Compiling was not done. It goes on behind for a while, and the next run starts with its code."

    def begin_chunk(self, rollout: Rollout, index: int) -> str:
        """Choose the path of the chunk."""
        swap = self._hot_swap
        compiled = self._compiler.waits if swap is None else swap.begin_chunk(rollout, index)
        self._is_compiled[rollout.slot] = compiled
        return COMPILED if compiled and self._compiler.has_hope else EAGER

    def run(self, stage: Stage, slot: Slot) -> Tensor | None:
        """Run a stage on the path of the slot's chunk."""
        with self.on_path_of(slot):
            return stage.function(slot)

    @contextmanager
    def on_path_of(self, slot: Slot) -> Iterator[bool]:
        """Inside, compiled code runs where the slot's chunk is compiled; gives whether it does."""
        is_compiled = self._is_compiled.get(slot, self._compiler.waits)
        with self._compiler.switched(is_compiled):
            yield is_compiled

    def paused(self) -> AbstractContextManager[None]:
        """Inside, no compiled code runs."""
        return self._compiler.switched(False)

    def follow(self, slot: Slot, other: Slot) -> None:
        """Let one slot take the path of another."""
        self._is_compiled[slot] = self._is_compiled.get(other, self._compiler.waits)

    @property
    def seconds_compiling(self) -> float:
        """Seconds that compiling took so far, in other processes."""
        return self._compiler.seconds

    @property
    def has_hope(self) -> bool:
        """Whether there is compiled code, or may be."""
        return self._compiler.has_hope

    def warm_up(self, pipeline: StreamInferencePipeline, given: Warming) -> list[Any]:
        """Make the first chunks of a rollout of each size, and wait for the code of all that they call."""
        config = pipeline.config
        for height, width in given.sizes or [(config.height, config.width)]:
            with pipeline.initialize_cache(**given.conditions, height=height, width=width) as rollout:
                make_first_chunks(rollout, given.controls[0])
        self._compiler.wait()
        return self._compiler.made

    def forget(self) -> None:
        """Weights are about to move."""
        self._compiler.forget_weights()
