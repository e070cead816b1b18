"""Whether lanes are free of races, proven without a GPU: see :mod:`flashdreams.testing.lane_clocks`."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from flashdreams.engine.lanes import Lanes
from flashdreams.infra.pipeline.base import StreamInferencePipeline
from flashdreams.testing.lane_clocks import Access, RecordedLanes

_TORCH = "/torch/"


def find_races(
    pipeline: StreamInferencePipeline,
    chunks: int,
    *,
    lanes: Callable[[RecordedLanes], Lanes] = Lanes,
    controls: Callable[[int], Any] = lambda index: None,
    rollouts: int = 2,
    **conditions: Any,
) -> list[str]:
    """Races between the lanes of a few rollouts that follow one another; each as a sentence.

    Every chunk is read where the caller is, as whoever shows it would, and made twice, as a retry would.

    Args:
        pipeline: The pipeline, on the CPU; it runs eagerly afterwards as before.
        chunks: Chunks of each rollout.
        lanes: What is to be tested.
        controls: What steers each chunk.
        rollouts: How many.
        **conditions: Arguments of ``initialize_cache``.
    """
    source, before = RecordedLanes(), pipeline.execution
    pipeline.execution = lanes(source)
    try:
        with LaneWatch(source):
            for seed in range(rollouts):
                with pipeline.initialize_cache(seed=seed, **conditions) as rollout:
                    for index in range(chunks):
                        pipeline.generate(index, rollout, input=controls(index)).sum()
                        pipeline.generate(index, rollout, input=controls(index)).sum()
                        pipeline.finalize(index, rollout)
            torch.empty(0)  # one operator more, for what was dropped last
    finally:
        pipeline.execution = before
    return source.memory.races


class LaneWatch(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Inside, every operator is dated by the lane where it queues, and held against those before it."""

    def __init__(self, source: RecordedLanes) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._source = source

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Run one operator and date it."""
        result = func(*args, **(kwargs or {}))
        if not _only_views(func):
            self._note(func, args, kwargs or {}, result)
        return result

    def _note(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], result: Any) -> None:
        source, lane, memory = self._source, self._source.here, self._source.memory
        memory.sweep(source.lanes)
        access = Access(lane.name, lane.tick(), f"{func} ({_line()})")
        for argument, value in _given(func, args, kwargs):
            writes = argument.alias_info is not None and argument.alias_info.is_write
            for tensor in _tensors(value):
                memory.add(memory.of(tensor, None), access, lane.clock, writes=writes)
        for tensor in _tensors(result):
            if not memory.knows(tensor):
                memory.of(tensor, lane.name).write = access


def _only_views(func: Any) -> bool:
    """Whether an operator only looks at memory in another way."""
    returns = [r.alias_info for r in func._schema.returns]
    return bool(returns) and all(alias is not None and not alias.is_write for alias in returns)


def _given(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Iterator[tuple[Any, Any]]:
    """Arguments of an operator's schema, each with its value."""
    named = {argument.name: argument for argument in func._schema.arguments}
    yield from zip(func._schema.arguments, args, strict=False)
    yield from ((named[name], value) for name, value in kwargs.items())


def _tensors(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _tensors(item)


def _line() -> str:
    """The nearest line outside of torch and of this file."""
    frame = inspect.currentframe()
    while frame is not None and (frame.f_code.co_filename == __file__ or _TORCH in frame.f_code.co_filename):
        frame = frame.f_back
    return f"{frame.f_code.co_filename.rpartition('/')[2]}:{frame.f_lineno}" if frame else "?"
