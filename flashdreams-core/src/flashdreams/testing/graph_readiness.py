"""Whether a pipeline could be captured in CUDA graphs, found out without a GPU.

A captured graph replays the same kernels on the same addresses with the same arguments. So over a
rollout, and over the next rollout in the same slot, the operators of a step may differ only in finitely
many ways, and nothing may wait for a value to come back to the host.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor
from torch.utils._python_dispatch import TorchDispatchMode

from flashdreams.engine.graphs.operators import WAITS
from flashdreams.infra.pipeline.base import StreamInferencePipeline

GraphKey = tuple[Any, ...]
"""The operators of a step, with the addresses, shapes and arguments they were called with."""


class GraphRecorder(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Records what a CUDA graph would: each operator, its arguments, and the memory that it reads.

    A tensor made inside is known by its shape alone, so two of one shape that change places look alike; one
    from outside by its address too, since a graph would read that address again.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.operators: list[GraphKey] = []
        self.host_syncs: list[str] = []
        self._made_here: dict[int, Any] = {}

    def __torch_dispatch__(
        self,
        func: Any,
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Record one operator and run it."""
        kwargs = kwargs or {}
        described = tuple(self._describe(value) for value in (*args, *kwargs.values()))
        if any(tag in func.tags for tag in WAITS) or _leaves_device(func, args, kwargs):
            self.host_syncs.append(str(func))
        self.operators.append((str(func), described))
        result = func(*args, **kwargs)
        known = {_address(t) for t in _tensors([args, list(kwargs.values())])}
        for tensor in _tensors(result):
            if _address(tensor) not in known:
                # Held until the end, so that its address is not given to another tensor meanwhile.
                self._made_here[_address(tensor)] = tensor
        return result

    @property
    def key(self) -> GraphKey:
        """What was recorded, as a value to compare."""
        return tuple(self.operators)

    def _describe(self, value: Any) -> Any:
        if isinstance(value, Tensor):
            shape = (tuple(value.shape), value.stride(), value.dtype)
            if _address(value) in self._made_here:
                return shape
            return (*shape, 0 if isinstance(value, FakeTensor) else value.data_ptr())
        if isinstance(value, (list, tuple)):
            return tuple(self._describe(item) for item in value)
        return repr(value)


@dataclass
class GraphReport:
    """What a few rollouts showed."""

    keys_per_rollout: list[set[GraphKey]] = field(default_factory=list)
    """Distinct recordings of a whole chunk (all denoising steps and finalize), per rollout."""
    declared: set[Hashable] = field(default_factory=set)
    """What the transformer's ``graph_key`` said of the chunks."""
    host_syncs: list[str] = field(default_factory=list)
    """Operators that make the host wait, in the order met."""

    @property
    def new_in_later_rollouts(self) -> int:
        """Recordings that a later rollout needed and the first had not made."""
        first, *later = self.keys_per_rollout
        return len(set().union(*later) - first) if later else 0


def record_rollouts(
    pipeline: StreamInferencePipeline,
    chunks: int,
    rollouts: int = 2,
    controls: Callable[[int], Any] = lambda index: None,
    **conditions: Any,
) -> GraphReport:
    """Record every chunk of a few rollouts that follow one another in one slot.

    The encoder, the decoder and the upload of noise run as well, outside the recording, as they would
    outside the graph of the denoising loop.
    """
    report, transformer = GraphReport(), pipeline.diffusion_model.transformer
    for number in range(rollouts):
        keys = set()
        with pipeline.initialize_cache(seed=number, **conditions) as rollout:
            for index in range(chunks):
                with _recorded_model(pipeline) as recorder:
                    pipeline.generate(index, rollout, input=controls(index))
                    pipeline.finalize(index, rollout)
                keys.add(recorder.key)
                report.declared.add(transformer.graph_key(rollout.slot.transformer))
                report.host_syncs += recorder.host_syncs
        report.keys_per_rollout.append(keys)
    return report


@contextmanager
def _recorded_model(pipeline: StreamInferencePipeline) -> Iterator[GraphRecorder]:
    """Record the denoising loop and finalize of ``pipeline``, and nothing around them."""
    recorder = GraphRecorder()
    model = pipeline.diffusion_model
    captured = [(model, "generate"), (model, "write_context"), (model.transformer, "remember_chunk")]

    def recorded(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any) -> Any:
            with recorder:
                return function(*args)

        return call

    for owner, name in captured:
        setattr(owner, name, recorded(getattr(owner, name)))
    try:
        yield recorder
    finally:
        for owner, name in captured:
            delattr(owner, name)


def _tensors(value: Any) -> Iterator[Tensor]:
    """Tensors among the arguments or results of an operator."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _tensors(item)


def _address(tensor: Tensor) -> int:
    storage = tensor.untyped_storage()
    return id(storage) if tensor.device.type == "meta" else storage._cdata


def _leaves_device(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    target = kwargs.get("device")
    moves = target is not None and torch.device(target).type == "cpu"
    return moves and any(t.device.type == "cuda" for t in _tensors(args[0] if args else None))
