"""When kernels run, that they are one operation each, and that they equal their twins."""

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode

from flashdreams.core.kernels import launching
from flashdreams.core.kernels.launching import block, rows_are_whole, runs_kernels, warps
from flashdreams.core.kernels.modulate import add_modulate_, gated_add_, modulate
from flashdreams.core.kernels.norm_rope import norm_rope, norm_rope_write
from flashdreams.core.kernels.pixels import pixels_to_bytes
from flashdreams.core.kernels.quantise_rows import quantise_rows
from flashdreams.core.rope import apply_rope
from flashdreams.testing.kernel_cases import kernel_cases

needs_triton = pytest.mark.skipif(find_spec("triton") is None, reason="triton is not installed")


@needs_triton
def test_kernels_equal_their_twins_in_the_interpreter():
    script = Path(__file__).with_name("interpreted_kernels.py")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(script)],
        env=os.environ | {"TRITON_INTERPRET": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]


# --- which of the two runs


class Operators(TorchDispatchMode):
    """Names of the operators that run inside, without those that only look at memory or get some."""

    def __init__(self):
        super().__init__()
        self.names = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        name = function._schema.name.partition("::")[2]
        if not function.is_view and name != "device" and not name.startswith("empty"):
            self.names.append(name)
        return function(*args, **(kwargs or {}))


def everything(device, dtype=torch.bfloat16, layout=lambda x: x):
    """Each dispatcher, called on tensors of a device."""
    with torch.device(device):
        q, k, v = (layout(torch.zeros(1, 4, 2, 8, dtype=dtype)) for _ in range(3))
        ring = [torch.zeros(1, 8, 2, 8, dtype=dtype) for _ in range(2)]
        index, turns = torch.arange(4), torch.ones(4, 4, dtype=torch.complex64)
        gain, x = torch.ones(16, dtype=dtype), layout(torch.zeros(1, 4, 16, dtype=dtype))
        vector, pixels = torch.zeros(16), torch.zeros(1, 3, 2, 4, 4, dtype=dtype)
    return {
        "norm_rope": lambda: norm_rope(q, turns, gain),
        "norm_rope_write": lambda: norm_rope_write((q, k, v), *ring, index, turns, (gain, gain)),
        "modulate": lambda: modulate(x, vector, vector, eps=1e-6),
        "add_modulate": lambda: add_modulate_(x, x.clone(), vector, vector, vector, eps=1e-6),
        "gated_add": lambda: gated_add_(x, x.clone(), vector),
        "pixels_to_bytes": lambda: pixels_to_bytes(pixels),
    }


def operators_of(call):
    with Operators() as operators:
        call()
    return [name for name in operators.names if name != "clone"]


@pytest.fixture
def card():
    """A GPU made of shapes alone, whatever this machine has."""
    launching._cards.clear()
    with FakeTensorMode():
        yield
    launching._cards.clear()


@needs_triton
@pytest.mark.parametrize("name", everything("cpu"))
def test_on_a_card_each_is_one_operation(card, name):
    assert operators_of(everything("cuda")[name]) == [f"{name}_kernel"]


@pytest.mark.parametrize("name", everything("cpu"))
def test_on_a_cpu_the_twin_runs(name):
    names = operators_of(everything("cpu")[name])
    assert names
    assert not [each for each in names if each.endswith("_kernel")]


# torch copies to shapes of a card only where it has the card's driver, and pixels are copied at the end.
@pytest.mark.parametrize("name", sorted(everything("cpu").keys() - {"pixels_to_bytes"}))
def test_without_triton_the_twin_runs_on_a_card_too(card, monkeypatch, name):
    monkeypatch.setattr(launching, "HAS_TRITON", False)
    names = operators_of(everything("cuda")[name])
    assert names
    assert not [each for each in names if each.endswith("_kernel")]


def with_gaps(x):
    return torch.stack([x, x], dim=-1).select(-1, 0)


@pytest.mark.parametrize("options", [dict(layout=with_gaps), dict(dtype=torch.float64)])
@pytest.mark.parametrize("name", ["norm_rope", "norm_rope_write", "modulate", "add_modulate", "gated_add"])
def test_what_a_kernel_does_not_take_goes_to_the_twin(card, name, options):
    assert f"{name}_kernel" not in operators_of(everything("cuda", **options)[name])


def test_a_kernel_reads_no_rotations_and_writes_no_bytes_that_are_not_there(card):
    x, pixels = torch.zeros(1, 4, 2, 8, device="cuda"), torch.zeros(1, 3, 2, 4, 4, device="cuda")
    one = torch.ones(1, 4, dtype=torch.complex64, device="cuda")  # which the twin broadcasts
    assert "norm_rope_kernel" not in operators_of(lambda: norm_rope(x, one))
    small = torch.empty(1, 1, 4, 4, 3, dtype=torch.uint8, device="cuda")
    with Operators() as operators, pytest.raises(RuntimeError):
        pixels_to_bytes(pixels, small)
    assert "pixels_to_bytes_kernel" not in operators.names


def test_gradients_go_through_the_twin(card):
    x = torch.zeros(1, 4, 16, device="cuda", requires_grad=True)
    assert not runs_kernels(x)
    with torch.no_grad():
        assert runs_kernels(x) == (find_spec("triton") is not None)


@needs_triton
@pytest.mark.parametrize(("card_is", "runs", "runs_float8"), [((7, 5), 0, 0), ((8, 0), 1, 0), ((9, 0), 1, 1)])
def test_an_old_card_runs_the_twins(card, monkeypatch, card_is, runs, runs_float8):
    monkeypatch.setattr(launching, "_capability", lambda device: card_is)
    x = torch.zeros(4, 8, device="cuda")
    assert runs_kernels(x) == runs
    assert ("quantise_rows_kernel" in operators_of(lambda: quantise_rows(x))) == runs_float8


def test_the_choice_is_a_constant_to_the_compiler(card):
    card_is = torch.compile(lambda: launching._card(torch.device("cuda")), fullgraph=True, backend="eager")
    assert card_is() == (launching.NEWEST if find_spec("triton") else (0, 0))


# --- twins, and the shapes of blocks


def test_the_twin_is_torchs_norm_and_rotation():
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(2, 5, 3, 8, generator=generator)
    gain, angles = torch.randn(24, generator=generator), torch.randn(5, 4, generator=generator)
    normed = torch.nn.functional.rms_norm(x.flatten(2), (24,), gain, 1e-6).view_as(x)
    turned = norm_rope(x, torch.polar(torch.ones(5, 4), angles), gain)
    # The products are the same, and may be summed fused or not.
    torch.testing.assert_close(turned, apply_rope(normed, angles.cos(), angles.sin()), atol=1e-6, rtol=0)


def test_keys_may_be_stored_without_their_positions():
    x = torch.randn(1, 2, 1, 4)
    keys, values = torch.zeros(2, 1, 3, 1, 4)
    turns = torch.polar(torch.ones(2, 2), torch.ones(2, 2))
    q = norm_rope_write((x, x, x), keys, values, torch.tensor([2, 0]), turns, turns_keys=False)
    assert torch.equal(keys[:, [2, 0]], x)
    assert torch.equal(keys, values)
    assert torch.equal(q, norm_rope(x, turns))
    assert not torch.equal(q, x)


def test_vectors_of_each_token_are_those_of_all_where_they_are_equal():
    x, shift, gain = torch.randn(2, 3, 8), torch.randn(8), torch.randn(8)
    for_all = modulate(x, shift, gain, eps=1e-6)
    for_each = modulate(x, shift.expand(2, 3, 8), gain.expand(2, 1, 8), eps=1e-6)
    torch.testing.assert_close(for_each, for_all, atol=2e-6, rtol=0)


@pytest.mark.parametrize(("size", "held"), [(1, 1), (2, 2), (3, 4), (12, 16), (1536, 2048)])
def test_a_block_is_the_next_power_of_two(size, held):
    assert block(size) == held


@pytest.mark.parametrize(("elements", "expected"), [(32, 1), (512, 2), (2048, 8), (8192, 8)])
def test_warps_of_a_program(elements, expected):
    assert warps(elements) == expected


def test_rows_without_gaps():
    x = torch.empty(2, 3, 4, 5)
    assert rows_are_whole(x, 2)
    assert rows_are_whole(x[:, 1:], 2)
    assert not rows_are_whole(x[..., 1:], 2)
    assert not rows_are_whole(x.transpose(2, 3), 2)
    assert rows_are_whole(x[:, :, :1].transpose(2, 3).contiguous(), 2)


def test_cases_cover_every_kernel_and_are_told_apart():
    cases = kernel_cases("cpu", tokens=2, frames=1)
    assert {case.kernel.rstrip("_") for case in cases} >= {*everything("cpu")}
    assert len({(case.kernel, case.sizes, case.dtype) for case in cases}) == len(cases)
