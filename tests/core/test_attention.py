from __future__ import annotations

import pytest
import torch
from torch import Tensor

import flashdreams.core.attention as attention_module
from flashdreams.core.attention import (
    PREFERENCE,
    AttentionBackend,
    attention,
    backend_report,
    choose_backend,
    register_backend,
)
from flashdreams.errors import DeviceError

CPU = torch.device("cpu")


def random_qkv(queries: int = 6, keys: int = 10, dtype: torch.dtype = torch.float32) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    lengths = (queries, keys, keys)
    return [torch.randn(2, length, 3, 8, generator=generator).to(dtype) for length in lengths]


def exact_attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Attention in float64, head by head, as a textbook writes it."""
    q, k, v = (t.double() for t in (q, k, v))
    out = torch.empty_like(q)
    for b in range(q.shape[0]):
        for h in range(q.shape[2]):
            weights = torch.softmax(q[b, :, h] @ k[b, :, h].T / q.shape[-1] ** 0.5, dim=-1)
            out[b, :, h] = weights @ v[b, :, h]
    return out


def usable(dtype: torch.dtype) -> list[str]:
    return [status.name for status in backend_report(CPU, dtype) if status.unavailable is None]


@pytest.mark.parametrize("backend", ["auto", "sdpa", "math"])
def test_every_backend_computes_attention(backend):
    qkv = random_qkv()
    # float32 against float64: 2.9e-7 measured at worst, on values up to 1.5.
    torch.testing.assert_close(
        attention(*qkv, backend=backend).double(), exact_attention(*qkv), atol=1e-6, rtol=0
    )


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_in_half_precision_the_fast_path_errs_at_most_twice_as_much_as_the_plain_one(dtype):
    q, k, v = random_qkv(16, 192, dtype)
    exact = exact_attention(q, k, v)
    heads_first = [t.transpose(1, 2) for t in (q, k, v)]
    plain = heads_first[0] / 8**0.5 @ heads_first[1].transpose(-1, -2)
    plain = (plain.softmax(dim=-1) @ heads_first[2]).transpose(1, 2)  # every product rounded to dtype
    limit = 2 * (plain.double() - exact).abs().max()
    for backend in usable(dtype):
        result = attention(q, k, v, backend=backend)
        assert result.dtype == dtype
        assert (result.double() - exact).abs().max() <= limit


def test_auto_is_the_first_of_the_preferred_that_the_machine_has():
    assert choose_backend(CPU, torch.float32) == "sdpa"
    assert [s.name for s in backend_report(CPU) if s.is_auto] == ["sdpa"]


def test_the_choice_can_be_overridden():
    assert choose_backend("cpu", torch.float32, "math") == "math"


@pytest.fixture
def own_registry(monkeypatch):
    """A registry of this test alone."""
    monkeypatch.setattr(attention_module, "_BACKENDS", dict(attention_module._BACKENDS))
    monkeypatch.setattr(attention_module, "_chosen", {})


@pytest.mark.usefixtures("own_registry")
def test_a_backend_can_be_added_and_is_resolved_once(monkeypatch):
    asked, called = [], []

    def unavailable(device, dtype):
        asked.append((device, dtype))

    def function(q, k, v):
        called.append(q.shape)
        return torch.zeros_like(q)

    register_backend(AttentionBackend("zero", "attends to nothing", unavailable, function))
    monkeypatch.setitem(PREFERENCE, "cpu", ("zero", "sdpa"))
    for _ in range(5):
        assert attention(*random_qkv()).eq(0).all()
    assert called == [(2, 3, 6, 8)] * 5
    assert asked == [(CPU, torch.float32)]


@pytest.mark.usefixtures("own_registry")
def test_auto_passes_over_what_cannot_run(monkeypatch):
    monkeypatch.setitem(PREFERENCE, "cpu", ("flash", "math"))
    assert choose_backend(CPU, torch.float32) == "math"


def test_a_wrong_name_gets_the_nearest_match():
    with pytest.raises(DeviceError) as caught:
        attention(*random_qkv(), backend="spda")
    assert str(caught.value) == (
        "There is no attention backend 'spda'.\n"
        "Did you mean 'sdpa'?\n"
        'Correct attention_backend, or leave it at "auto"; `flashdreams doctor` shows what runs here.'
    )


@pytest.mark.parametrize("name", ["flash", "cudnn", "efficient"])
def test_a_backend_that_this_device_lacks_says_why(name):
    with pytest.raises(DeviceError) as caught:
        choose_backend(CPU, torch.float32, name)
    assert str(caught.value) == (
        f"The attention backend {name!r} cannot run on cpu in float32: it needs an NVIDIA GPU.\n"
        "Those that can: sdpa, math.\n"
        'Take one of them, or leave attention_backend at "auto".'
    )


def test_the_report_names_every_backend_with_its_reason():
    report = {status.name: status.unavailable for status in backend_report("cuda", torch.float32)}
    assert list(report) == ["sdpa", "math", "flash", "cudnn", "efficient"]
    assert report["flash"] == report["cudnn"] == "it computes in bfloat16 or float16"
    assert report["sdpa"] is report["math"] is None
