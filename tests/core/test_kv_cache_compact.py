"""Keys and values kept in 8 bits: what that costs, in bytes and in error."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from flashdreams.core.attention import attention
from flashdreams.core.compact import compacted, restored
from flashdreams.core.kv_cache import KVCache
from flashdreams.core.kv_cache_naive import NaiveKVCache
from flashdreams.errors import FieldTypeError, FieldValueError, SnapshotError
from flashdreams.infra.config import derive_config
from flashdreams.testing.toy import toy_pipeline_config


def cache_of(kind=KVCache, **changes):
    sizes = dict(layers=2, batch_size=1, heads=2, head_dim=16, frame_tokens=3, window=6, sink=2, chunk=2)
    arguments = {**sizes, "dtype": torch.float32, "device": "cpu", "cache_dtype": "float8_e4m3fn"}
    return kind(**{**arguments, **changes})


def chunk_of(generator, dtype=torch.float32, *, batch=1):
    return [torch.randn(batch, 6, 2, 16, generator=generator).to(dtype) for _ in range(3)]


@settings(max_examples=60, deadline=None)
@given(
    dtype=st.sampled_from([torch.float32, torch.bfloat16, torch.float16]),
    exponent=st.integers(-10, 7),
    spread=st.floats(0.0, 3.0),
    seed=st.integers(0, 2**31),
)
def test_a_row_keeps_its_values_to_a_sixteenth_and_its_largest_to_a_rounding(dtype, exponent, spread, seed):
    generator = torch.Generator().manual_seed(seed)
    rows = torch.randn(5, 24, generator=generator) * (spread * torch.randn(24, generator=generator)).exp()
    rows = (rows / rows.abs().max() * 2.0**exponent).to(dtype)
    stored, scale = compacted(rows)
    assert (stored.dtype, scale.dtype, scale.shape) == (torch.uint8, dtype, (5, 1))
    exact, back = rows.double(), restored(stored, scale).double()
    rounding = torch.finfo(dtype).eps
    # Half a step of 3 bits of mantissa, and roundings of the dtype itself; smaller values are fixed-point.
    allowed = exact.abs() * (1 / 16 + 2 * rounding)
    allowed = torch.maximum(allowed, scale.double() * 2.0**-9)
    assert ((back - exact).abs() <= allowed).all()


def test_a_row_of_zeros_stays_one():
    stored, scale = compacted(torch.zeros(2, 8))
    assert torch.equal(restored(stored, scale), torch.zeros(2, 8))


@pytest.mark.parametrize("rope_positions", ["absolute", "window"])
def test_it_holds_what_its_naive_twin_holds(rope_positions):
    cache, twin = (cache_of(kind, rope_positions=rope_positions) for kind in (KVCache, NaiveKVCache))
    generator = torch.Generator().manual_seed(0)
    for index in range(9):
        q, k, v = chunk_of(generator)
        reads = []
        for each in (cache, twin):
            each.begin_chunk(index)
            reads.append(each.layers[1].attend(q, k, v))
        torch.testing.assert_close(*reads, atol=2e-6, rtol=0)


def test_places_are_read_as_the_whole_is():
    cache, generator = cache_of(), torch.Generator().manual_seed(0)
    for index in range(3):
        cache.begin_chunk(index)
        _, k, v = chunk_of(generator)
        keys, values = cache.layers[0].update(k, v)
    places = torch.tensor([11, 3, 4])
    for read, whole in zip(cache.layers[0].read_at(places), (keys, values), strict=True):
        assert torch.equal(read, whole[:, places])


def test_attention_errs_by_a_few_percent():
    """0.036 to 0.038 of the norm of what is read were measured, with keys and values of unit variance."""
    generator = torch.Generator().manual_seed(0)
    q, k, v = (torch.randn(1, n, 4, 64, generator=generator) for n in (64, 512, 512))
    read = attention(q, *(restored(*compacted(t)) for t in (k, v)))
    exact = attention(q, k, v)
    assert 0.01 < (read - exact).norm() / exact.norm() < 0.06


def test_it_takes_a_little_more_than_half_of_the_bytes():
    def size(**changes):
        cache = cache_of(head_dim=128, dtype=torch.bfloat16, device="meta", **changes)
        return sum(t.nbytes for t in cache.state_tensors() if t.dim() == 5)

    assert size() / size(cache_dtype="model") == pytest.approx(0.5 + 1 / 128)


def test_no_tensor_moves_and_a_snapshot_goes_on_bit_for_bit():
    cache, generator = cache_of(), torch.Generator().manual_seed(0)
    addresses = set()
    for index in range(5):
        cache.begin_chunk(index)
        q, k, v = chunk_of(generator)
        read = cache.layers[0].attend(q, k, v)
        addresses.add(tuple(t.data_ptr() for t in cache.state_tensors()))
    assert len(addresses) == 1
    other = cache_of()
    other.restore(cache.snapshot())
    assert torch.equal(other.layers[0].attend(q, k, v), read)
    with pytest.raises(SnapshotError, match=r"keys are torch.uint8 .*\n.* holds torch.float32"):
        cache_of(cache_dtype="model").restore(cache.snapshot())


def test_a_pipeline_takes_it_from_its_config_and_its_pictures_change_a_little():
    def video(**transformer):
        config = derive_config(toy_pipeline_config(), diffusion_model=dict(transformer=transformer))
        with config.setup().initialize_cache() as rollout:
            return torch.cat(list(rollout.pipeline.stream(rollout, [0.0] * 5)), dim=2)

    plain, compact = video(), video(cache_dtype="float8_e4m3fn")
    assert 0 < (plain - compact).norm() / plain.norm() < 0.05


def test_an_unknown_cache_dtype_is_refused():
    with pytest.raises(FieldTypeError, match="It takes 'model' or 'float8_e4m3fn'"):
        derive_config(toy_pipeline_config(), diffusion_model=dict(transformer=dict(cache_dtype="int4")))
    with pytest.raises(FieldValueError, match=r"cache_dtype is 'int4'\."):
        cache_of(cache_dtype="int4")
