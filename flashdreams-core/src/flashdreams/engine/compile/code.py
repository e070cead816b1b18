"""Compiled code: made from a module and a call of it, kept in a folder, loaded and run.

On a CPU it is a shared object made by AOTInductor: loaded in milliseconds without torch's compiler being
imported, and called with little ado. Elsewhere it is what Inductor, the compiler behind ``torch.compile``,
makes of a graph by itself, which needs no CUDA toolkit.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.utils import _pytree as pytree

from flashdreams.engine.compile.blueprint import names_of, tensors_of
from flashdreams.engine.compile.call import Call, NoRegionError, filled
from flashdreams.engine.compile.callback import call_back, calling
from flashdreams.io.artefacts import only_file, read_facts, unpacked, write_facts

Form = Literal["shared object", "function"]
Function = Callable[[list[Tensor]], list[Tensor]]

PACKAGE, FUNCTION = "code.pt2", "code.bin"


def form_for(device: str) -> Form:
    """The form in which code for a device is kept."""
    return "shared object" if torch.device(device).type == "cpu" else "function"


@dataclass(frozen=True)
class Code:
    """Compiled code of a region for calls of one signature; every module alike may run it."""

    function: Function
    outputs: Any
    """How the tensors that it returns are put together."""

    def run(self, call: Call, weights: list[Tensor]) -> Any:
        """What a module with these weights returns for the call."""
        with calling(call.callables):
            results = self.function([*call.tensors, *weights])
        return pytree.tree_unflatten(results, self.outputs)


def load_code(folder: Path) -> Code:
    """Load what :func:`make_code` wrote."""
    call_back()
    facts = read_facts(folder)
    load = _load_shared_object if facts["form"] == "shared object" else _load_function
    return Code(load(folder), pytree.treespec_loads(facts["outputs"]))


def make_code(module: nn.Module, template: Any, tensors: list[Tensor], form: Form, folder: Path) -> None:
    """Compile a module for calls like the template's, into ``folder``, which exists.

    Raises:
        NoRegionError: What it does depends on something that compiled code would not be given.
    """
    outputs: list[pytree.TreeSpec] = []
    region = _Region(module, template, len(tensors), outputs.append)
    inputs = (*tensors, *tensors_of(module))
    make = _make_shared_object if form == "shared object" else _make_function
    make(region, inputs, folder)
    write_facts(folder, form=form, outputs=pytree.treespec_dumps(outputs[-1]))


class _Region(nn.Module):
    """A module as a function of tensors alone: those of the call, then its weights."""

    def __init__(
        self, module: nn.Module, template: Any, count: int, on_outputs: Callable[[pytree.TreeSpec], None]
    ) -> None:
        super().__init__()
        self._on_outputs = on_outputs
        vars(self)["_module"] = module  # no submodule: its weights are inputs
        self._template, self._count, self._names = template, count, names_of(module)

    def forward(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        operator, count = call_back(), self._count
        callables = [partial(_opaque, operator, place) for place in range(_callables_in(self._template))]
        args, kwargs = filled(self._template, list(tensors[:count]), callables)
        weights = dict(zip(self._names, tensors[count:], strict=True))
        results, outputs = pytree.tree_flatten(functional_call(vars(self)["_module"], weights, args, kwargs))
        if not all(isinstance(result, Tensor) for result in results):
            raise NoRegionError("it returns more than tensors")
        self._on_outputs(outputs)
        return tuple(results)


def _opaque(operator: Callable[..., Tensor], place: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return operator(q, k, v, place)


def _callables_in(template: Any) -> int:
    return sum(getattr(leaf, "kind", None) == "callable" for leaf in pytree.tree_leaves(template))


def _make_shared_object(region: _Region, inputs: tuple[Tensor, ...], folder: Path) -> None:
    program = torch.export.export(region, inputs, strict=False)
    if program.constants:
        raise NoRegionError("it keeps tensors that are neither parameters nor buffers")
    path = str(folder / PACKAGE)
    torch._inductor.aoti_compile_and_package(program, package_path=path)
    unpacked(folder / PACKAGE, suffixes=(".wrapper.so", ".wrapper.json"))


def _make_function(region: _Region, inputs: tuple[Tensor, ...], folder: Path) -> None:
    from torch._inductor import standalone_compile
    from torch.fx.experimental.proxy_tensor import make_fx

    graph = make_fx(region, tracing_mode="fake")(*inputs)
    made = standalone_compile(graph, list(inputs), dynamic_shapes="from_example_inputs", aot=True)
    made.save(path=str(folder / FUNCTION), format="binary")


def _load_shared_object(folder: Path) -> Function:
    # Straight from the folder: the loader of packages would unpack a copy that nobody deletes.
    runner = torch._C._aoti.AOTIModelContainerRunnerCpu(only_file(folder, ".so"), 1)
    function: Function = runner.run
    return function


def _load_function(folder: Path) -> Function:
    from torch._inductor.standalone_compile import CompiledArtifact

    made = CompiledArtifact.load(path=str(folder / FUNCTION), format="binary")
    return lambda tensors: list(made(*tensors))
