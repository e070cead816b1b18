"""Linear layers in 8 bits: what is changed, what it costs in error, and that it lasts."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils.flop_counter import FlopCounterMode

from flashdreams.core.kernels.quantise_rows import quantise_rows
from flashdreams.engine import quantise as module
from flashdreams.engine.quantise import ScaledLinear, WeightOnlyLinear, quantise_blocks, quantised
from flashdreams.infra.config import derive_config
from flashdreams.testing.toy import toy_pipeline_config

WAYS = ("fp8", "fp8-weights", "int8-weights")
# Of the norm of what a layer gives for random weights and tokens. Measured: 0.0069 for int8, 0.026 for float8
# weights, 0.037 for float8 weights and tokens, in bfloat16 up to 0.0004 more.
LEAST_AND_MOST = {"int8-weights": (0.004, 0.012), "fp8-weights": (0.015, 0.035), "fp8": (0.025, 0.05)}


def linear_of(generator, inputs=64, outputs=48, bias=True, dtype=torch.float32):
    linear = nn.Linear(inputs, outputs, bias=bias).requires_grad_(False)
    for parameter in linear.parameters():
        parameter.copy_(torch.randn(parameter.shape, generator=generator))
    return linear.to(dtype)


def error(result, exact):
    return ((result - exact).norm() / exact.norm()).item()


def widened(layer, x):
    """The slow twin: the weight as it stands for, in float64."""
    bias = None if layer.bias is None else layer.bias.double()
    return F.linear(x.double(), layer.weight.double() * layer.scale.double(), bias)


@settings(max_examples=30, deadline=None)
@given(
    how=st.sampled_from(WAYS),
    dtype=st.sampled_from([torch.float32, torch.bfloat16, torch.float16]),
    bias=st.booleans(),
    shape=st.sampled_from([(3,), (2, 5), (1, 2, 3)]),
    seed=st.integers(0, 2**31),
)
def test_a_layer_gives_what_its_widened_weight_gives(how, dtype, bias, shape, seed):
    generator = torch.Generator().manual_seed(seed)
    layer = quantised(linear_of(generator, bias=bias, dtype=dtype), how)
    x = torch.randn(*shape, 64, generator=generator).to(dtype)
    result = layer(x)
    assert (result.dtype, result.shape) == (dtype, (*shape, 48))
    seen = x
    if how == "fp8":
        rows, scale = quantise_rows(x.reshape(-1, 64))
        seen = (rows.double() * scale.double()).view_as(x)
    # Two roundings of the dtype, relative to the largest of the sums.
    exact = widened(layer, seen)
    assert (result.double() - exact).abs().max() <= 4 * torch.finfo(dtype).eps * exact.abs().max()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("how", WAYS)
def test_how_much_a_layer_errs(how, dtype):
    generator = torch.Generator().manual_seed(0)
    linear = linear_of(generator, 256, 256, dtype=dtype)
    x = torch.randn(512, 256, generator=generator).to(dtype)
    exact = F.linear(x.double(), linear.weight.double(), linear.bias.double())
    least, most = LEAST_AND_MOST[how]
    assert least < error(quantised(linear, how)(x).double(), exact) < most


@pytest.mark.parametrize("how", WAYS)
def test_rows_that_differ_by_orders_of_magnitude_err_alike(how):
    generator = torch.Generator().manual_seed(0)
    linear = linear_of(generator, bias=False)
    x = torch.randn(400, 64, generator=generator)
    plain = (quantised(linear, how)(x) - linear(x)).norm()
    # Powers of two, which change no mantissa: every row keeps its error.
    tokens, channels = 2.0 ** torch.arange(-20, 20).repeat(10)[:, None], 2.0 ** torch.arange(-24, 24)
    linear.weight.mul_(channels[:, None])
    result, exact = quantised(linear, how)(x * tokens), linear(x * tokens)
    torch.testing.assert_close(((result - exact) / tokens / channels).norm(), plain, atol=0, rtol=1e-4)


def test_zeros_stay_zeros():
    linear = nn.Linear(16, 16, bias=False).requires_grad_(False)
    for how in WAYS:
        assert torch.equal(quantised(linear, how)(torch.zeros(3, 16)), torch.zeros(3, 16))
    linear.weight.zero_()
    for how in WAYS:
        assert torch.equal(quantised(linear, how)(torch.ones(3, 16)), torch.zeros(3, 16))


class Net(nn.Module):
    """An embedding, a head, blocks, layers with reasons of their own, and an encoder."""

    def __init__(self):
        super().__init__()
        self.embed, self.head = nn.Linear(16, 16), nn.Linear(16, 16)
        self.blocks = nn.ModuleList(
            nn.ModuleDict({"wide": nn.Linear(16, 32), "odd": nn.Linear(16, 12), "own": OwnLinear(16, 16)})
            for _ in range(2)
        )
        self.context_encoder = nn.Module()
        self.context_encoder.blocks = nn.ModuleList([nn.Linear(16, 16)])
        self.requires_grad_(False)


class OwnLinear(nn.Linear):
    """A layer that stays as it is."""


def test_only_plain_linear_layers_of_blocks_are_changed():
    net = Net()
    names = quantise_blocks(net, "int8-weights", leave_out=("context_encoder",))
    assert names == ["blocks.0.wide", "blocks.1.wide"]
    changed = [name for name, part in net.named_modules() if isinstance(part, WeightOnlyLinear)]
    assert changed == names
    assert quantise_blocks(net, "fp8", leave_out=("context_encoder",)) == []
    assert "WeightOnlyLinear(16, 32, int8, bias=True)" in str(net)


def toy(how, **changes):
    config = derive_config(toy_pipeline_config(), quantise=how, **changes)
    return derive_config(config, diffusion_model=dict(transformer=dict(width=32, heads=2))).setup()


def video(pipeline):
    with pipeline.initialize_cache(seed=1) as rollout:
        return torch.cat(list(pipeline.stream(rollout, [0.0] * 4)), dim=2).float()


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("how", WAYS)
def test_a_pipeline_takes_it_from_its_config(how, dtype):
    plain, pipeline = toy("none", dtype=dtype), toy(how, dtype=dtype)
    layers = [m for m in pipeline.modules() if isinstance(m, WeightOnlyLinear)]
    assert len(layers) == 4 * len(pipeline.diffusion_model.transformer.blocks)
    assert all(isinstance(layer, ScaledLinear) == (how == "fp8") for layer in layers)
    # Measured in float32: 0.0011 for int8, 0.0078 for float8 weights, 0.010 for float8.
    assert 1e-4 < error(video(pipeline), video(plain)) < 0.05
    again = toy(how, dtype=dtype)
    assert torch.equal(video(pipeline), video(again))


@pytest.mark.parametrize("how", WAYS)
def test_8_bits_last_when_the_pipeline_is_moved_or_cast_to_what_it_is(how):
    pipeline = toy(how, dtype="bfloat16")
    kept = [t.dtype for t in (*pipeline.parameters(), *pipeline.buffers())]
    before = video(pipeline)
    pipeline.to("cpu", torch.bfloat16)
    assert [t.dtype for t in (*pipeline.parameters(), *pipeline.buffers())] == kept
    assert torch.equal(video(pipeline), before)


def test_the_bytes_of_weights_halve():
    linear = nn.Linear(1536, 8960, device="meta", dtype=torch.bfloat16)
    before = sum(t.nbytes for t in linear.parameters())
    for how in WAYS:
        layer = quantised(linear, how)
        after = sum(t.nbytes for t in (*layer.parameters(), *layer.buffers()))
        assert after / before == pytest.approx(0.5, abs=0.002)


def test_on_meta_a_product_of_8_bits_is_counted():
    layer = quantised(nn.Linear(32, 16, device="meta", dtype=torch.bfloat16), "fp8")
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        result = layer(torch.empty(5, 32, device="meta", dtype=torch.bfloat16))
    assert (result.shape, result.dtype) == ((5, 16), torch.bfloat16)
    assert counter.get_flop_counts()["Global"] == {torch.ops.aten._scaled_mm: 2 * 5 * 32 * 16}


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
def test_on_a_card_products_are_taken_in_8_bits_and_the_host_never_waits(dtype):
    with FakeTensorMode():  # a GPU made of shapes: any value that had to come to the host would raise
        linear = nn.Linear(32, 16, device="meta")
        for name, shape in (("weight", (16, 32)), ("bias", (16,))):
            values = torch.empty(shape, dtype=dtype, device="cuda")
            setattr(linear, name, nn.Parameter(values, requires_grad=False))
        layer = quantised(linear, "fp8")
        result = layer(torch.empty(2, 3, 32, device="cuda", dtype=dtype))
    assert (result.shape, result.dtype, result.device.type) == ((2, 3, 16), dtype, "cuda")


def test_a_card_that_cannot_multiply_8_bits_widens_them(monkeypatch):
    generator = torch.Generator().manual_seed(0)
    linear, x = linear_of(generator), torch.randn(3, 64, generator=generator)
    monkeypatch.setitem(module._multiplying, torch.device("cpu"), False)
    assert torch.equal(quantised(linear, "fp8")(x), quantised(linear, "fp8-weights")(x))


@pytest.mark.parametrize("how", WAYS)
def test_a_compiled_layer_is_one_graph_and_gives_the_same(how):
    graphs = []

    def backend(graph, inputs):
        graphs.append(graph)
        return graph

    generator = torch.Generator().manual_seed(0)
    layer, x = quantised(linear_of(generator), how), torch.randn(3, 64, generator=generator)
    compiled = torch.compile(layer, backend=backend, fullgraph=True)
    with torch.no_grad():
        assert torch.equal(compiled(x), layer(x))
        compiled(x)
    assert len(graphs) == 1


@pytest.mark.parametrize("how", ["fp8-weights", "int8-weights"])
def test_products_of_float16_do_not_run_out_of_its_range(how):
    # Without the rows' scales the sums are hundreds of times as large, and 65504 is the most.
    linear = nn.Linear(64, 16, bias=False, dtype=torch.float16).requires_grad_(False)
    linear.weight.fill_(0.1)
    exact = linear(torch.full((2, 64), 10.0, dtype=torch.float16))
    result = quantised(linear, how)(torch.full((2, 64), 10.0, dtype=torch.float16))
    torch.testing.assert_close(result, exact, atol=0, rtol=0.01)
