"""Whether a pipeline could be captured in CUDA graphs, found out without a GPU.

A captured graph replays the same kernels on the same addresses with the same arguments. So over a
rollout, and over the next rollout in the same slot, the operators of a step may differ only in finitely
many ways, and nothing may wait for a value to come back to the host.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import DataDependentOutputException, FakeTensor, FakeTensorMode
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from flashdreams.infra import state_tree
from flashdreams.infra.diffusion.model.base import DiffusionModel
from flashdreams.infra.pipeline.base import StreamInferencePipeline
from flashdreams.infra.pipeline.rollout import Rollout

_SYNC_TAGS = (torch.Tag.data_dependent_output, torch.Tag.dynamic_output_shape)

GraphKey = tuple[Any, ...]
"""The operators of a step, with the addresses, shapes and arguments they were called with."""


class GraphRecorder(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Records what a CUDA graph would: each operator, its arguments, and the memory that it reads.

    A tensor made inside is known by its shape; one from outside by its address too, since a graph would
    read that address again.
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
        if any(tag in func.tags for tag in _SYNC_TAGS) or _leaves_device(func, args, kwargs):
            self.host_syncs.append(str(func))
        self.operators.append((str(func), described))
        result = func(*args, **kwargs)
        known = {_address(t) for t in state_tree.tensors([args, list(kwargs.values())])}
        for tensor in state_tree.tensors(result if isinstance(result, (list, tuple)) else [result]):
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
    report = GraphReport()
    for number in range(rollouts):
        keys = set()
        with pipeline.initialize_cache(seed=number, **conditions) as rollout:
            for index in range(chunks):
                with _recorded_model(pipeline) as recorder:
                    pipeline.generate(index, rollout, input=controls(index))
                    pipeline.finalize(index, rollout)
                keys.add(recorder.key)
                report.host_syncs += recorder.host_syncs
        report.keys_per_rollout.append(keys)
    return report


def host_syncs_on_fake_gpu(pipeline: StreamInferencePipeline, rollout: Rollout) -> list[str]:
    """Host syncs of one chunk, run on a GPU that exists only as shapes.

    Values that a CPU tensor gives away for nothing (``.item()``, ``.tolist()``, ``.cpu()``) are what a
    GPU makes the host wait for; here they are refused, or noted, although no GPU is there.

    Args:
        pipeline: The pipeline, on the CPU; it is copied, not changed.
        rollout: A rollout of it that has been generated to the end of some chunk.
    """
    mode = FakeTensorMode(allow_non_fake_inputs=False)
    with mode:
        model = cast(DiffusionModel, _on_fake_gpu(pipeline.diffusion_model))
        slot = copy.copy(rollout.slot)
        cache = _fake_tree(slot.transformer)
        control, noise = _fake_tree(slot.control), _fake_tree(slot.noise).unbind(0)
    recorder, methods = GraphRecorder(), _HostMethods()
    try:
        with torch.no_grad(), mode, recorder, methods:
            latents = model.generate(cache, control, noise)
            model.finalize(latents, cache, control)
    except DataDependentOutputException as error:
        return [*recorder.host_syncs, *methods.called, str(error.func)]
    return [*recorder.host_syncs, *methods.called]


class _HostMethods(TorchFunctionMode):
    """Notes methods that fetch values; stands in for the few that ask for a driver before the device."""

    def __init__(self) -> None:
        super().__init__()
        self.called: list[str] = []

    def __torch_function__(
        self,
        func: Any,
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        name = getattr(func, "__name__", "")
        if name in ("item", "tolist", "numpy", "cpu", "__bool__", "__float__", "__int__"):
            self.called.append(f"Tensor.{name}")
        if args and isinstance(args[0], FakeTensor):
            if name == "__getitem__":
                index = args[1] if isinstance(args[1], tuple) else (args[1],)
                if all(isinstance(i, (int, slice)) for i in index):
                    return _basic_index(args[0], index)
            if name == "contiguous":
                return (
                    args[0]
                    if args[0].is_contiguous()
                    else args[0].clone(memory_format=torch.contiguous_format)
                )
        return func(*args, **(kwargs or {}))


def _basic_index(tensor: Tensor, index: tuple[Any, ...]) -> Tensor:
    """``tensor[index]`` for integers and slices."""
    dim = 0
    for i in index:
        if isinstance(i, int):
            tensor = tensor.select(dim, i)
        else:
            tensor = torch.ops.aten.slice.Tensor(tensor, dim, i.start, i.stop, i.step or 1)
            dim += 1
    return tensor


@contextmanager
def _recorded_model(pipeline: StreamInferencePipeline) -> Iterator[GraphRecorder]:
    """Record the denoising loop and finalize of ``pipeline``, and nothing around them."""
    recorder = GraphRecorder()
    model = pipeline.diffusion_model
    originals = {name: getattr(model, name) for name in ("generate", "finalize")}

    def recorded(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any) -> Any:
            with recorder:
                return function(*args)

        return call

    for name, original in originals.items():
        setattr(model, name, recorded(original))
    try:
        yield recorder
    finally:
        for name in originals:
            delattr(model, name)


def _on_fake_gpu(module: nn.Module) -> nn.Module:
    clone = copy.copy(module)
    clone.__dict__ = dict(module.__dict__)
    clone._parameters = {name: _parameter(p) for name, p in module._parameters.items()}
    clone._buffers = {name: None if b is None else _fake(b) for name, b in module._buffers.items()}
    clone._modules = {name: m and _on_fake_gpu(m) for name, m in module._modules.items()}
    return clone


def _parameter(parameter: Tensor | None) -> nn.Parameter | None:
    return None if parameter is None else nn.Parameter(_fake(parameter), requires_grad=False)


def _fake(tensor: Tensor) -> Tensor:
    return torch.empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype, device="cuda")


def _fake_tree(tree: Any) -> Any:
    """A copy in which every tensor is fake, caches that look after themselves included."""
    if isinstance(tree, Tensor):
        return _fake(tree)
    if isinstance(tree, dict):
        return {key: _fake_tree(value) for key, value in tree.items()}
    if isinstance(tree, (list, tuple)):
        return type(tree)([_fake_tree(value) for value in tree])
    if hasattr(tree, "__dict__"):
        clone = copy.copy(tree)
        clone.__dict__.update({key: _fake_tree(value) for key, value in vars(tree).items()})
        return clone
    return tree


def _address(tensor: Tensor) -> int:
    storage = tensor.untyped_storage()
    return id(storage) if tensor.device.type == "meta" else storage._cdata


def _leaves_device(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    target = kwargs.get("device")
    moves = target is not None and torch.device(target).type == "cpu"
    return moves and any(t.device.type == "cuda" for t in state_tree.tensors(args[0] if args else None))
