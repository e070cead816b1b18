from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

import flashdreams.core.attention as attention_module
from flashdreams.core.attention import (
    PREFERENCE,
    AttentionBackend,
    attention,
    backend_report,
    choose_backend,
    register_backend,
)
from flashdreams.core.attention_backends import heads_in_float8
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


@pytest.mark.parametrize("backend", ["auto", "sdpa", "math", "masked"])
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
    monkeypatch.setattr(attention_module, "_tried", {})


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


@pytest.mark.parametrize("name", ["flash", "cudnn", "efficient", "varlen", "flash3", "fp8", "sage", "sparse"])
def test_a_backend_that_this_device_lacks_says_why(name):
    with pytest.raises(DeviceError) as caught:
        choose_backend(CPU, torch.float32, name)
    assert str(caught.value) == (
        f"The attention backend {name!r} cannot run on cpu in float32: it needs an NVIDIA GPU.\n"
        "Those that can: sdpa, math, masked.\n"
        'Take one of them, or leave attention_backend at "auto".'
    )


def test_the_report_names_every_backend_with_its_reason():
    report = {status.name: status.unavailable for status in backend_report("cuda", torch.float32)}
    exact = ["sdpa", "math", "masked", "flash", "cudnn", "efficient", "varlen", "flash3"]
    assert list(report) == [*exact, "fp8", "sage", "sparse"]
    assert report["flash"] == report["cudnn"] == "it computes in bfloat16 or float16"
    assert report["sdpa"] is report["math"] is None


def test_a_package_that_is_not_installed_is_named():
    report = {status.name: status.unavailable for status in backend_report("cuda", torch.bfloat16)}
    assert report["sage"] == "the module sageattention is not installed"
    assert report["sparse"] == "the module spas_sage_attn is not installed"
    assert report["flash3"] == "the module flash_attn_interface is not installed"


def test_the_report_says_why_auto_takes_a_backend_or_passes_over_it():
    reasons = {status.name: status.reason for status in backend_report(CPU)}
    assert reasons["sdpa"] == "first of sdpa, math that can run here"
    assert reasons["math"] == "after sdpa"
    assert reasons["masked"] == "only by name"
    assert reasons["sage"] == reasons["sparse"] == "only by name: it is not exact"


def test_heads_in_float8_keep_their_values_to_a_sixteenth():
    x = torch.randn(2, 3, 50, 8, generator=torch.Generator().manual_seed(0))
    x[1] *= 1000
    stored, scale = heads_in_float8(x)
    assert (stored.dtype, scale.shape) == (torch.float8_e4m3fn, (2, 3))
    error = (stored.float() * scale[..., None, None] - x).abs()
    assert (error <= torch.maximum(x.abs() / 16, scale[..., None, None] * 2.0**-9) * 1.001).all()


def test_auto_takes_nothing_that_is_not_exact():
    for names in PREFERENCE.values():
        assert all(attention_module._BACKENDS[name].is_exact for name in names)


def test_a_head_that_is_too_wide_for_a_backend_gets_another():
    # As the one head of 384 channels in the decoder of Wan would be.
    narrow, wide = (choose_backend("cuda", torch.bfloat16, head_dim=width) for width in (128, 384))
    assert (narrow, wide) == ("flash", "sdpa")
    with pytest.raises(DeviceError, match="a head has 384 channels, and it takes 8 to 256 in steps of 8"):
        choose_backend("cuda", torch.bfloat16, "flash", head_dim=384)


@pytest.mark.usefixtures("own_registry")
@pytest.mark.parametrize(("major", "expected"), [(8, "flash"), (9, "cudnn"), (12, "cudnn")])
def test_newer_cards_have_an_order_of_their_own(monkeypatch, major, expected):
    monkeypatch.setattr(attention_module, "capability_of", lambda device: (major, 0))
    monkeypatch.setattr(attention_module, "_try", lambda backend, tokens: None)
    with FakeTensorMode():
        assert choose_backend("cuda", torch.bfloat16, head_dim=128) == expected


@pytest.mark.usefixtures("own_registry")
def test_a_backend_is_tried_once_and_what_it_says_is_told(monkeypatch):
    tried = []

    def function(q, k, v):
        tried.append(q.shape)
        raise RuntimeError("No available kernel.\nAborting.")

    register_backend(AttentionBackend("broken", "fails", lambda device, dtype: None, function))
    monkeypatch.setitem(PREFERENCE, "cuda", ("broken", "sdpa"))
    monkeypatch.setattr(attention_module, "capability_of", lambda device: (8, 0))
    with FakeTensorMode():  # shapes of a GPU, so that it is tried as it would be on one
        for _ in range(3):
            assert choose_backend("cuda", torch.bfloat16) == "sdpa"
        with pytest.raises(DeviceError, match="it was tried and failed, No available kernel"):
            choose_backend("cuda", torch.bfloat16, "broken")
    assert tried == [(2, 1, 128, 64)]
