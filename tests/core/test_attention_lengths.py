"""Attention over as many keys as the device says, and a KV cache that is read that way."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch._subclasses.fake_tensor import FakeTensorMode

from flashdreams.core.attention import attention, takes_lengths
from flashdreams.core.kv_cache import KVCache
from flashdreams.errors import DeviceError
from flashdreams.infra.config import derive_config
from flashdreams.testing.graph_readiness import record_rollouts
from flashdreams.testing.toy import toy_pipeline_config

CPU = torch.device("cpu")


@settings(max_examples=40, deadline=None)
@given(
    batch=st.integers(1, 3),
    heads=st.integers(1, 3),
    queries=st.integers(1, 7),
    keys=st.integers(1, 12),
    dtype=st.sampled_from([torch.float32, torch.bfloat16]),
    data=st.data(),
)
def test_keys_beyond_the_length_are_as_if_they_were_not_there(batch, heads, queries, keys, dtype, data):
    seen = [data.draw(st.integers(1, keys)) for _ in range(batch)]
    generator = torch.Generator().manual_seed(keys)
    q, k, v = (torch.randn(batch, n, heads, 8, generator=generator).to(dtype) for n in (queries, keys, keys))
    read = attention(q, k, v, lengths=torch.tensor(seen, dtype=torch.int32), backend="masked")
    for member, length in enumerate(seen):
        one = slice(member, member + 1)
        expected = attention(q[one], k[one, :length], v[one, :length], backend="math")
        # Another order of sums: 5e-7 measured at worst in float32, one unit in the last place in bfloat16.
        torch.testing.assert_close(read[one], expected, atol=2e-6 if dtype == torch.float32 else 2e-2, rtol=0)


def test_what_lies_beyond_the_length_changes_no_bit():
    q, k, v = (torch.randn(1, n, 2, 8) for n in (3, 9, 9))
    lengths = torch.tensor([5], dtype=torch.int32)
    before = attention(q, k, v, lengths=lengths, backend="masked")
    k[:, 5:], v[:, 5:] = 1e4, -1e4
    assert torch.equal(attention(q, k, v, lengths=lengths, backend="masked"), before)


def test_a_backend_that_takes_no_lengths_says_which_do():
    q = torch.randn(1, 3, 2, 8)
    with pytest.raises(DeviceError) as caught:
        attention(q, q, q, lengths=torch.ones(1, dtype=torch.int32), backend="sdpa")
    assert str(caught.value) == (
        "The attention backend 'sdpa' was given lengths.\n"
        "Those that read them on the device: masked.\n"
        "Take one of them, or cut keys and values to what is seen."
    )


def test_who_takes_lengths():
    assert takes_lengths(CPU, torch.float32, "masked")
    assert not takes_lengths(CPU, torch.float32, "auto")
    cuda = torch.device("cuda")
    assert takes_lengths(cuda, torch.bfloat16, "varlen", 128)
    assert not takes_lengths(cuda, torch.bfloat16, "cudnn", 128)
    # On meta a plan counts what is seen, so keys and values are cut to it.
    assert not takes_lengths(torch.device("meta"), torch.bfloat16, "varlen", 128)


def test_flash_attention_is_given_the_whole_window_and_never_waits_for_the_lengths():
    with FakeTensorMode():
        q, k = (torch.empty(2, n, 3, 64, device="cuda", dtype=torch.bfloat16) for n in (5, 40))
        lengths = torch.empty(2, dtype=torch.int32, device="cuda")
        read = attention(q, k, k, lengths=lengths, backend="varlen")
        assert (read.shape, read.dtype, read.device.type) == (q.shape, q.dtype, "cuda")
        assert attention(q, k, k, backend="varlen").shape == q.shape


def cache_of(**changes) -> KVCache:
    sizes = dict(layers=2, batch_size=2, heads=2, head_dim=8, frame_tokens=3, window=6, sink=2, chunk=2)
    return KVCache(**{**sizes, "dtype": torch.float32, "device": "cpu", **changes})


@pytest.mark.parametrize("cache_dtype", ["model", "float8_e4m3fn"])
@pytest.mark.parametrize("turned", [False, True])
def test_a_cache_read_by_length_gives_what_a_cut_one_gives(cache_dtype, turned):
    caches = [cache_of(cache_dtype=cache_dtype) for _ in range(2)]
    generator = torch.Generator().manual_seed(0)

    def turn(keys):
        return keys.flip(-1) * torch.arange(1.0, 1 + keys.shape[1])[:, None, None]

    for index in range(8):
        q, k, v = (torch.randn(2, 6, 2, 8, generator=generator) for _ in range(3))
        reads = []
        for cache, backend in zip(caches, ("sdpa", "masked"), strict=True):
            cache.begin_chunk(index)
            read = cache.layers[1].attend(q, k, v, backend=backend, turn=turn if turned else None)
            reads.append(read)
        torch.testing.assert_close(*reads, atol=2e-6, rtol=1e-6)
    assert torch.equal(caches[0].keys, caches[1].keys)


@pytest.mark.parametrize("rope_positions", ["absolute", "window"])
def test_one_graph_serves_every_fill_level(rope_positions):
    """Operators, addresses, shapes and arguments of 8 chunks, as a graph would hold them."""
    keys = {}
    for backend in ("sdpa", "masked"):
        transformer = dict(attention_backend=backend, rope_positions=rope_positions, window=8)
        config = derive_config(toy_pipeline_config(), diffusion_model=dict(transformer=transformer))
        pipeline = config.setup()
        report = record_rollouts(pipeline, chunks=8, rollouts=2)
        assert not report.host_syncs
        assert not report.new_in_later_rollouts
        keys[backend] = len(report.keys_per_rollout[0])
    assert keys == {"sdpa": 4, "masked": 1}


def test_the_graph_key_holds_the_fill_level_only_where_the_device_does_not_read_it():
    for backend, expected in (("sdpa", [32, 64, 96, 96]), ("masked", [None] * 4)):
        transformer = dict(attention_backend=backend, window=6)
        config = derive_config(toy_pipeline_config(), diffusion_model=dict(transformer=transformer))
        with config.setup().initialize_cache() as rollout:
            model, cache, found = rollout.pipeline.diffusion_model.transformer, rollout.slot.transformer, []
            for index in range(4):
                model.begin_chunk(cache, index)
                found.append(model.graph_key(cache))
        assert found == expected


def test_a_compiled_block_is_compiled_once_though_the_window_fills():
    compiled = []

    def backend(module, inputs):
        compiled.append(module)
        return module

    @torch.compile(backend=backend, fullgraph=True)
    def read(layer, q, k, v):
        return layer.attend(q, k, v, backend="masked")

    cache, q = cache_of(), torch.randn(2, 6, 2, 8)
    with torch.no_grad():
        for index in range(6):
            cache.begin_chunk(index)
            for layer in cache.layers:
                read(layer, q, q, q)
    assert len(compiled) == 1
