from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

from flashdreams.core.attention import attention
from flashdreams.core.kv_cache import KVCache
from flashdreams.core.kv_cache_naive import NaiveKVCache
from flashdreams.core.rope import apply_rope, rope_angles
from flashdreams.errors import FieldValueError, OutOfOrderError, SnapshotError
from flashdreams.testing.graph_readiness import GraphRecorder

HEADS, HEAD_DIM, LAYERS = 2, 8, 2


@dataclass(frozen=True)
class Sizes:
    chunk: int
    window: int
    sink: int
    rope_positions: str = "absolute"
    frame_tokens: int = 2
    batch_size: int = 1

    def make(self, kind=KVCache, **changes):
        arguments = dict(
            layers=LAYERS,
            heads=HEADS,
            head_dim=HEAD_DIM,
            batch_size=self.batch_size,
            frame_tokens=self.frame_tokens,
            window=self.window,
            sink=self.sink,
            chunk=self.chunk,
            dtype=torch.float32,
            device="cpu",
            rope_positions=self.rope_positions,
        )
        return kind(**{**arguments, **changes})

    def tokens(self, generator: torch.Generator) -> Tensor:
        shape = (self.batch_size, self.chunk * self.frame_tokens, HEADS, HEAD_DIM)
        return torch.randn(shape, generator=generator)


@st.composite
def any_sizes(draw) -> Sizes:
    chunk, ring, sink = draw(st.integers(1, 3)), draw(st.integers(1, 4)), draw(st.integers(0, 2))
    return Sizes(
        chunk=chunk,
        window=chunk * (ring + sink),
        sink=chunk * sink,
        rope_positions=draw(st.sampled_from(["absolute", "window"])),
        frame_tokens=draw(st.integers(1, 3)),
        batch_size=draw(st.integers(1, 2)),
    )


def in_order_of_time(cache: KVCache, stored: Tensor) -> Tensor:
    """What `update` returned, latent frames sorted by their position."""
    frames = stored.unflatten(1, (-1, cache.frame_tokens))
    order = cache.key_positions[: frames.shape[1]].argsort()
    return frames[:, order].flatten(1, 2)


def write_chunk(caches, index: int, sizes: Sizes, generator: torch.Generator):
    """The same random chunk written to every layer of every cache: what each returned, per layer."""
    for cache in caches:
        cache.begin_chunk(index)
    given_tokens = [(sizes.tokens(generator), sizes.tokens(generator)) for _ in range(LAYERS)]
    return [[c.update(layer, k, v) for c in caches] for layer, (k, v) in enumerate(given_tokens)]


@settings(max_examples=40, deadline=None)
@given(sizes=any_sizes(), chunks=st.integers(1, 12), rewrites=st.integers(1, 3), seed=st.integers(0, 2**31))
def test_it_returns_what_its_naive_twin_returns(sizes, chunks, rewrites, seed):
    # Bit for bit once sorted by position: nothing but copies is involved.
    cache, generator = sizes.make(), torch.Generator().manual_seed(seed)
    for _rollout in range(2):  # the second one finds the memory of the first
        twin = sizes.make(NaiveKVCache)
        for index in range(chunks):
            for _rewrite in range(rewrites):
                for (keys, values), (twin_keys, twin_values) in write_chunk(
                    (cache, twin), index, sizes, generator
                ):
                    assert torch.equal(in_order_of_time(cache, keys), twin_keys)
                    assert torch.equal(in_order_of_time(cache, values), twin_values)
            assert cache.filled == twin.filled
            assert cache.lengths.tolist() == [cache.filled] * sizes.batch_size
            assert torch.equal(cache.query_positions, twin.query_positions)
            frames = cache.filled // sizes.frame_tokens
            assert torch.equal(cache.key_positions[:frames].sort().values, twin.key_positions[:frames])
            assert cache.key_positions[frames:].tolist() == [0] * (sizes.window - frames)


def attend(cache, index: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    cache.begin_chunk(index)
    side = 1, cache.frame_tokens
    query_angles = rope_angles(cache.query_positions, *side, head_dim=HEAD_DIM)
    if cache.rope_positions == "absolute":
        keys, values = cache.update(0, apply_rope(k, *query_angles), v)
    else:
        raw, values = cache.update(0, k, v)
        angles = rope_angles(cache.key_positions, *side, head_dim=HEAD_DIM)
        keys = apply_rope(raw, *(angle[: raw.shape[1]] for angle in angles))
    return attention(apply_rope(q, *query_angles), keys, values)


@pytest.mark.parametrize("rope_positions", ["absolute", "window"])
@pytest.mark.parametrize("sink", [0, 2])
def test_attention_over_the_ring_equals_attention_over_its_twin(rope_positions, sink):
    sizes = Sizes(chunk=2, window=8, sink=sink, rope_positions=rope_positions, frame_tokens=3)
    cache, twin, generator = sizes.make(), sizes.make(NaiveKVCache), torch.Generator().manual_seed(0)
    for index in range(15):
        tokens = [sizes.tokens(generator) for _ in range(3)]
        # Sums run in another order: 4.2e-7 measured at worst, on values up to 1.7.
        torch.testing.assert_close(
            attend(cache, index, *tokens), attend(twin, index, *tokens), atol=2e-6, rtol=0
        )


def test_without_a_sink_positions_from_the_window_or_the_beginning_attend_alike():
    sizes = Sizes(chunk=1, window=4, sink=0, frame_tokens=3)
    absolute, generator = sizes.make(), torch.Generator().manual_seed(0)
    relative = sizes.make(rope_positions="window")
    for index in range(12):
        tokens = [sizes.tokens(generator) for _ in range(3)]
        # Attention sees differences of positions alone; rounding of what is turned gives 5.1e-7.
        torch.testing.assert_close(
            attend(absolute, index, *tokens), attend(relative, index, *tokens), atol=3e-6, rtol=0
        )


@pytest.mark.parametrize("rope_positions", ["absolute", "window"])
def test_over_200_chunks_no_tensor_moves_and_fill_levels_are_few(rope_positions):
    sizes = Sizes(chunk=3, window=21, sink=3, rope_positions=rope_positions)
    cache, generator = sizes.make(), torch.Generator().manual_seed(0)
    addresses, returned, levels = set(), set(), set()
    for index in range(200):
        for layer in write_chunk((cache,), index, sizes, generator):
            returned |= {t.data_ptr() for pair in layer for t in pair}
        addresses.add(tuple(t.data_ptr() for t in cache.state_tensors()))
        levels.add(cache.filled)
    assert len(addresses) == 1
    assert len(returned) == 2 * LAYERS
    assert levels == {3 * 2 * n for n in range(1, 8)}


def test_a_graph_captured_at_each_fill_level_serves_every_later_chunk():
    # Operators, addresses, shapes and arguments, as a graph would hold them: only the fill level differs.
    sizes = Sizes(chunk=1, window=5, sink=1)
    cache, generator = sizes.make(), torch.Generator().manual_seed(0)
    k, v = sizes.tokens(generator), sizes.tokens(generator)
    keys = []
    for index in range(20):
        cache.begin_chunk(index)
        with GraphRecorder() as recorder:
            cache.update(1, k, v)
        keys.append(recorder.key)
    assert len(set(keys[:5])) == 5
    assert set(keys[4:]) == {keys[4]}


def test_positions_far_from_the_beginning():
    last = 10**7
    absolute = Sizes(chunk=3, window=9, sink=3).make()
    absolute.begin_chunk(last)
    assert absolute.query_positions.tolist() == [3 * last, 3 * last + 1, 3 * last + 2]
    assert sorted(absolute.key_positions.tolist()) == [0, 1, 2, *range(3 * last - 3, 3 * last + 3)]
    relative = Sizes(chunk=3, window=9, sink=3, rope_positions="window").make()
    relative.begin_chunk(last)
    assert relative.query_positions.tolist() == [6, 7, 8]
    assert sorted(relative.key_positions.tolist()) == list(range(9))


def test_beginning_a_chunk_again_changes_nothing():
    cache = Sizes(chunk=2, window=6, sink=2).make()
    cache.begin_chunk(7)
    before = [t.clone() for t in cache.state_tensors()]
    cache.begin_chunk(7)
    assert all(torch.equal(a, b) for a, b in zip(before, cache.state_tensors(), strict=True))


@settings(max_examples=15, deadline=None)
@given(sizes=any_sizes(), before=st.integers(1, 9))
def test_a_restored_cache_goes_on_bit_for_bit(sizes, before):
    original, generator = sizes.make(), torch.Generator().manual_seed(1)
    for index in range(before):
        write_chunk((original,), index, sizes, generator)
    snapshot = original.snapshot()
    copy = sizes.make()
    write_chunk((copy,), 3, sizes, generator)  # another rollout was here
    copy.restore(snapshot)
    assert (copy.index, copy.filled) == (original.index, original.filled)
    for index in range(before, before + 4):
        for (keys, values), (other_keys, other_values) in write_chunk(
            (original, copy), index, sizes, generator
        ):
            assert torch.equal(keys, other_keys)
            assert torch.equal(values, other_values)


def test_a_snapshot_is_in_host_memory_and_keeps_its_values():
    sizes = Sizes(chunk=1, window=2, sink=0)
    cache, generator = sizes.make(), torch.Generator().manual_seed(0)
    write_chunk((cache,), 0, sizes, generator)
    snapshot = cache.snapshot()
    kept = snapshot["keys"].clone()
    write_chunk((cache,), 0, sizes, generator)
    assert snapshot["keys"].device.type == "cpu"
    assert snapshot["keys"].shape == (LAYERS, 1, 2, HEADS, HEAD_DIM)
    assert torch.equal(snapshot["keys"], kept)


def test_a_snapshot_from_before_the_first_chunk():
    sizes = Sizes(chunk=1, window=2, sink=0)
    empty = sizes.make().snapshot()
    cache = sizes.make()
    write_chunk((cache,), 0, sizes, torch.Generator().manual_seed(0))
    cache.restore(empty)
    assert (cache.index, cache.filled) == (-1, 0)


@pytest.mark.parametrize("change", [dict(frame_tokens=3), dict(dtype=torch.bfloat16), dict(batch_size=2)])
def test_a_snapshot_of_another_cache_is_refused(change):
    sizes = Sizes(chunk=1, window=2, sink=0)
    cache = sizes.make()
    write_chunk((cache,), 0, sizes, torch.Generator().manual_seed(0))
    other = sizes.make(**change)
    with pytest.raises(SnapshotError) as caught:
        other.restore(cache.snapshot())
    assert "The snapshot's keys are torch.float32 [2, 1, 2, 2, 8]." in str(caught.value)
    assert "Restore it to a cache of the sizes it was taken from." in str(caught.value)
    assert other.index == -1  # nothing half done


def test_its_size_can_be_asked_for_without_its_memory():
    cache = KVCache(  # as it would be of Wan 1.3B in bfloat16
        layers=30,
        batch_size=1,
        heads=12,
        head_dim=128,
        frame_tokens=1560,
        window=21,
        sink=3,
        chunk=3,
        dtype=torch.bfloat16,
        device="meta",
    )
    cache.begin_chunk(9)
    assert all(t.device.type == "meta" for t in cache.state_tensors())
    weight = sum(t.numel() * t.element_size() for t in (cache.keys, cache.values))
    assert weight / 2**30 == pytest.approx(5.62, abs=0.01)


def test_nothing_waits_for_the_device():
    # On a GPU made of shapes alone, any value that had to come to the host would raise.
    with FakeTensorMode():
        cache = Sizes(chunk=2, window=4, sink=0).make(device="cuda")
        k = torch.empty(1, 4, HEADS, HEAD_DIM, device="cuda")
        for index in range(3):
            cache.begin_chunk(index)
            keys, _ = cache.update(0, k, k)
            angles = rope_angles(cache.key_positions, 1, 2, head_dim=HEAD_DIM)
            apply_rope(keys, *(angle.narrow(0, 0, keys.shape[1]) for angle in angles))
    assert (keys.device.type, keys.shape[1]) == ("cuda", 8)


@pytest.mark.parametrize(
    ("window", "sink", "chunk"), [(5, 0, 2), (6, 1, 2), (6, 6, 2), (6, -2, 2), (6, 0, 0)]
)
def test_sizes_that_hold_no_whole_chunks_are_refused(window, sink, chunk):
    with pytest.raises(FieldValueError) as caught:
        Sizes(chunk=chunk, window=window, sink=sink).make()
    assert f"window is {window} and sink {sink}, in chunks of {chunk} latent frames." in str(caught.value)
    room = int(str(caught.value).split("Set window to ")[1].split()[0])
    assert Sizes(chunk=max(chunk, 1), window=room, sink=0).make().window == room  # what it says works


def test_unknown_rope_positions_are_refused():
    with pytest.raises(FieldValueError, match=r"rope_positions is 'relative'\.\nIt is \"absolute\" or"):
        Sizes(chunk=1, window=2, sink=0).make(rope_positions="relative")


def test_chunks_count_from_0():
    with pytest.raises(OutOfOrderError, match=r"Chunk -1 was begun\.\nThe first chunk is chunk 0\."):
        Sizes(chunk=1, window=2, sink=0).make().begin_chunk(-1)
