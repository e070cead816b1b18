"""What a kernel promises: what its twin in plain torch computes, whatever the shapes, dtypes and strides."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any, ClassVar

import torch
from torch import Tensor

from flashdreams.errors import BrokenPromiseError
from flashdreams.testing.contract import Contract, broken, skip
from flashdreams.testing.kernel_draws import Draws
from flashdreams.testing.kernel_processes import interpreted, is_interpreting, without_triton

# One unit in the last place, and what is lost where numbers cancel: of values up to about 5.
_TOLERANCES: dict[torch.dtype, tuple[float, float]] = {
    torch.float64: (1e-12, 0.0),
    torch.float32: (2e-6, 0.0),
    torch.float16: (2**-13, 2**-10),
    torch.bfloat16: (2**-10, 2**-7),
}


@dataclass(frozen=True)
class _Case:
    """What arguments are drawn from, as often as they are needed."""

    seed: int
    dtype: torch.dtype
    device: str

    def draw(self) -> Draws:
        return Draws(self.seed, self.dtype, self.device)


class KernelContract(Contract):
    """A kernel, its twin, and the function that chooses between them.

    ::

        class TestScaledAdd(KernelContract):
            function = staticmethod(scaled_add)
            twin = staticmethod(scaled_add_twin)
            kernel = staticmethod(scaled_add_on_card)

            def inputs(self, draw):
                shape = draw.among(1, 3), draw.among(1, 8, 33)
                return draw.strided(*shape), draw.normal(*shape), 0.5

    All three take the same arguments and return, or write, the same. On a card the kernel runs there; on a
    CPU in Triton's interpreter, in a process of its own; without Triton it is left out.
    """

    function: ClassVar[Callable[..., Any]]
    """What models call: launches the kernel where it can, and else calls the twin."""
    twin: ClassVar[Callable[..., Any]]
    """The same in plain torch."""
    kernel: ClassVar[Callable[..., Any] | None] = None
    """Launches the kernel, wherever its arguments lie."""
    overwrites: ClassVar[tuple[int, ...]] = ()
    """Positions of the arguments that are overwritten."""
    dtypes: ClassVar[tuple[torch.dtype, ...]] = (torch.float32, torch.float16, torch.bfloat16)
    """What it computes in."""
    draws: ClassVar[int] = 5
    """Draws of each dtype."""
    tolerances: ClassVar[dict[torch.dtype, tuple[float, float]]] = {}
    """Absolute and relative tolerance of results, by dtype, where a unit in the last place will not do."""

    def inputs(self, draw: Draws) -> tuple[Any, ...]:
        """Arguments that the kernel takes: sizes, values and layouts drawn, tensors of ``draw.dtype``."""
        raise NotImplementedError

    def test_it_runs_without_triton(self) -> None:
        """Through the twin."""
        for case in self._cases():
            try:
                with without_triton():
                    type(self).function(*self.inputs(case.draw()))
            except ImportError as error:
                broken(
                    f"{self._name} on a CPU without Triton fails: {error}.",
                    "Without Triton, and on a CPU, the twin runs.",
                    "Import triton inside the function that makes the kernel, and ask runs_kernels(...) of "
                    "flashdreams.core.kernels.launching before launching.",
                )

    def test_it_overwrites_what_it_says(self) -> None:
        """And nothing else."""
        for case in self._cases():
            for called in (type(self).twin, type(self).function):
                given, before = self._twice(case)
                called(*given)
                for place, pair in enumerate(zip(given, before, strict=True)):
                    if place not in self.overwrites and not _equal(*pair):
                        broken(
                            f"{called.__name__} overwrote its argument {place}.",
                            f"It overwrites {list(self.overwrites) or 'none of its arguments'}.",
                            "Write into new memory, or name the argument in overwrites and in its docstring.",
                        )

    def test_the_function_equals_its_twin(self) -> None:
        """Where the twin runs, and where the function does more than to choose."""
        for case in self._cases():
            self._compare(case, type(self).function, self._name)

    def test_any_strides_will_do(self) -> None:
        """Arguments with gaps, and with dimensions in another order in memory."""
        for case in self._cases():
            given, contiguous = self._twice(case)
            relay = Draws(case.seed, case.dtype)
            relaid = tuple(relay.relaid(t) if isinstance(t, Tensor) else t for t in given)
            results = type(self).function(*relaid), type(self).twin(*contiguous)
            self._hold(
                [*_tensors(results[0]), *self._written(relaid)],
                [*_tensors(results[1]), *self._written(contiguous)],
                f"{self._name} on tensors that are not contiguous",
                case,
            )

    def test_the_kernel_equals_its_twin(self) -> None:
        """On a card, or in Triton's interpreter."""
        if type(self).kernel is None:
            skip("no kernel is named")
        if find_spec("triton") is None:
            skip("Triton is not installed: the twin runs, and the kernel is not tested")
        if torch.cuda.is_available():
            self.compare_kernel("cuda")
        elif is_interpreting():
            self.compare_kernel("cpu")
        else:
            self._interpret()

    def compare_kernel(self, device: str) -> None:
        """Hold the kernel to its twin on a device, in this process.

        Raises:
            BrokenPromiseError: They differ.
        """
        kernel = type(self).kernel
        if kernel is not None:
            for case in self._cases(device):
                self._compare(case, kernel, f"the kernel of {self._name}")

    def _interpret(self) -> None:
        module, name = sys.modules[type(self).__module__], type(self).__qualname__
        faults = interpreted(str(module.__file__), module.__name__)
        fault = faults.get("", faults.get(name))
        if fault is not None:
            raise BrokenPromiseError(*fault)
        if name not in faults:
            broken(
                f"{name} is not found in {module.__file__} when that is imported again.",
                "Triton interprets the kernel in a process of its own, which imports the file.",
                "Define the class at the top of the file, under its own name.",
            )

    def _compare(self, case: _Case, called: Callable[..., Any], name: str) -> None:
        given, of_twin = self._twice(case)
        results = called(*given), type(self).twin(*of_twin)
        self._hold(
            [*_tensors(results[0]), *self._written(given)],
            [*_tensors(results[1]), *self._written(of_twin)],
            name,
            case,
        )

    def _hold(self, made: list[Tensor], expected: list[Tensor], name: str, case: _Case) -> None:
        shapes = [[(list(t.shape), t.dtype) for t in tensors] for tensors in (made, expected)]
        if shapes[0] != shapes[1]:
            broken(
                f"{name} makes {shapes[0]} where its twin makes {shapes[1]}.",
                "Both return tensors of the same shapes and dtypes.",
                "Look at what it allocates.",
            )
        for one, other in zip(made, expected, strict=True):
            share = self._beyond(one, other)
            if share > 0:
                furthest = (one.double() - other.double()).abs().max().item()
                broken(
                    f"{name} is {furthest:.3g} from its twin in {case.dtype}, beyond the tolerance in "
                    f"{share:.1%} of {list(one.shape)}.",
                    "Both are the same, to a unit in the last place: sums and norms are float32 and rounded "
                    "once.",
                    "Look at the mask of the last block, at strides, and at what is computed in a short "
                    "dtype; set tolerances where another order of adding up explains it.",
                )

    def _beyond(self, one: Tensor, other: Tensor) -> float:
        """The share of values that differ by more than the tolerance."""
        absolute, relative = self.tolerances.get(one.dtype) or _TOLERANCES.get(one.dtype, (0.0, 0.0))
        ours, theirs = one.double(), other.double()
        close = (ours - theirs).abs() <= absolute + relative * theirs.abs()
        return (~(close | (ours == theirs) | (ours.isnan() & theirs.isnan()))).double().mean().item()

    def _cases(self, device: str = "cpu") -> Iterator[_Case]:
        for dtype in self.dtypes:
            for seed in range(self.draws):
                yield _Case(seed, dtype, device)

    def _twice(self, case: _Case) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
        """The same arguments twice, in memory of their own."""
        return self.inputs(case.draw()), self.inputs(case.draw())

    def _written(self, arguments: tuple[Any, ...]) -> list[Tensor]:
        return [tensor for place in self.overwrites for tensor in _tensors(arguments[place])]

    @property
    def _name(self) -> str:
        return getattr(type(self).function, "__name__", type(self).__name__)


def _tensors(value: Any) -> list[Tensor]:
    if isinstance(value, (tuple, list)):
        return [tensor for item in value for tensor in _tensors(item)]
    return [value] if isinstance(value, Tensor) else []


def _equal(one: Any, other: Any) -> bool:
    return all(torch.equal(a, b) for a, b in zip(_tensors(one), _tensors(other), strict=True))
