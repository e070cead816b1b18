"""A GPU that exists only as shapes: what makes the host wait shows itself, although no GPU is there."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import DataDependentOutputException, FakeTensor, FakeTensorMode
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from flashdreams.engine.graphs.operators import calling_line
from flashdreams.infra.decoder.base import StreamingDecoder
from flashdreams.infra.diffusion.model.base import DiffusionModel
from flashdreams.infra.pipeline.base import StreamInferencePipeline
from flashdreams.infra.pipeline.rollout import Rollout
from flashdreams.testing.graph_readiness import GraphRecorder

_FETCHING = frozenset(("item", "tolist", "numpy", "cpu", "__bool__", "__float__", "__int__"))


def host_syncs_on_fake_gpu(pipeline: StreamInferencePipeline, rollout: Rollout) -> list[str]:
    """Host syncs of one chunk, its decoding included, run on a GPU that exists only as shapes.

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
        decoder = None if pipeline.decoder is None else _on_fake_gpu(pipeline.decoder)
        states = [None, _fake_tree(slot.decoder.state)]

    def chunk() -> None:
        latents = model.generate(cache, control, noise)
        model.write_context(latents, cache, control)
        model.transformer.remember_chunk(latents, cache)
        if isinstance(decoder, StreamingDecoder):
            for state in states:
                decoder(latents, state)
        elif decoder is not None:
            decoder(latents)

    return _waits(mode, chunk)


def host_syncs_of(module: nn.Module, use: Callable[[Any], object]) -> list[str]:
    """What makes the host wait when one component runs on such a GPU; copies out of its memory among it.

    Args:
        module: The component, on the CPU; it is copied, not changed.
        use: Calls the copy with tensors that it makes itself, with ``device="cuda"``.
    """
    mode = FakeTensorMode(allow_non_fake_inputs=False)
    with mode:
        copied = _on_fake_gpu(module)
    uploads = _Uploads()

    def watched() -> None:
        with uploads:
            use(copied)

    return _waits(mode, watched, uploads.called)


def _waits(mode: FakeTensorMode, run: Callable[[], None], others: Sequence[str] = ()) -> list[str]:
    """What makes the host wait in ``run``; what it raises comes second, since it may follow from a wait."""
    recorder, methods = GraphRecorder(), _HostMethods()
    try:
        with torch.no_grad(), mode, recorder, methods:
            run()
    except Exception as error:
        waits = [*methods.called, *recorder.host_syncs, *others]
        if isinstance(error, DataDependentOutputException):
            waits.append(str(error.func))
        if not waits:
            raise
        return waits
    return [*methods.called, *recorder.host_syncs, *others]


class _Uploads(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Notes what is copied from the host's memory to the device while something runs there."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.called: list[str] = []

    def __torch_dispatch__(
        self,
        func: Any,
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Run one operator, and look where it has read and where it has written."""
        made = func(*args, **(kwargs or {}))
        copies = func in (torch.ops.aten._to_copy.default, torch.ops.aten.copy_.default)
        if copies and made.is_cuda and any(isinstance(t, Tensor) and t.device.type == "cpu" for t in args):
            self.called.append(f"{func}, of a tensor that was made in the host's memory")
        return made


class _HostMethods(TorchFunctionMode):
    """Notes methods that fetch values, and replaces those that would ask for a driver."""

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
        """Call ``func``, or what it comes to on a device of shapes."""
        name = getattr(func, "__name__", "")
        if name in _FETCHING:
            self.called.append(f"Tensor.{name} at {calling_line()}")
        if args and isinstance(args[0], FakeTensor) and name in _WITHOUT_DRIVER:
            return _WITHOUT_DRIVER[name](*args, **(kwargs or {}))
        return func(*args, **(kwargs or {}))


def _get_item(tensor: Tensor, index: Any) -> Tensor:
    """``tensor[index]`` for integers, slices, None and Ellipsis; by torch's own operator for tensors."""
    index = list(index) if isinstance(index, tuple) else [index]
    if any(isinstance(i, Tensor) for i in index):
        return cast(
            Tensor, torch.ops.aten.index.Tensor(tensor, [i if isinstance(i, Tensor) else None for i in index])
        )
    if ... in index:
        place = index.index(...)
        taken = sum(1 for i in index if i is not None) - 1
        index[place : place + 1] = [slice(None)] * (tensor.dim() - taken)
    dim = 0
    for i in index:
        if isinstance(i, int):
            tensor = tensor.select(dim, i)
            continue
        if i is None:
            tensor = tensor.unsqueeze(dim)
        else:
            tensor = torch.ops.aten.slice.Tensor(tensor, dim, i.start, i.stop, i.step or 1)
        dim += 1
    return tensor


def _set_item(tensor: Tensor, index: Any, value: Any) -> None:
    place = _get_item(tensor, index)
    place.fill_(value) if not isinstance(value, Tensor) else torch.ops.aten.copy_.default(place, value)


def _contiguous(tensor: Tensor, memory_format: torch.memory_format = torch.contiguous_format) -> Tensor:
    if tensor.is_contiguous(memory_format=memory_format):
        return tensor
    return tensor.clone(memory_format=memory_format)


_WITHOUT_DRIVER: dict[str, Callable[..., Any]] = {
    "__getitem__": _get_item,
    "__setitem__": _set_item,
    "contiguous": _contiguous,
    "copy_": torch.ops.aten.copy_.default,
}
"""Methods that ask for the device's driver before they do anything, and what does the same without."""


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


def _fake_tree(tree: Any, copies: dict[int, Any] | None = None) -> Any:
    """A copy in which every tensor is fake, caches that look after themselves included.

    What the tree holds twice, the copy holds twice: ``copies`` are those made so far.
    """
    copies = {} if copies is None else copies
    if id(tree) in copies:
        return copies[id(tree)]
    if isinstance(tree, Tensor):
        return _fake(tree)
    if isinstance(tree, dict):
        return {key: _fake_tree(value, copies) for key, value in tree.items()}
    if isinstance(tree, (list, tuple)):
        return type(tree)([_fake_tree(value, copies) for value in tree])
    if hasattr(tree, "__dict__"):
        copies[id(tree)] = clone = copy.copy(tree)
        clone.__dict__.update({key: _fake_tree(value, copies) for key, value in vars(tree).items()})
        return clone
    return tree
