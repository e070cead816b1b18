"""Trees of tensors: addresses stay, nothing is shared, nothing is mixed up."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from flashdreams.core.kv_cache import KVCache
from flashdreams.infra import state_tree

CPU = torch.device("cpu")


class Pair(NamedTuple):
    left: Any
    right: Any


@dataclass(frozen=True)
class Part:
    values: Any
    count: int = 3


tensor_leaves = st.integers(0, 100).map(lambda n: torch.full((n % 3 + 1,), float(n)))
leaves = tensor_leaves | st.none() | st.integers() | st.text(max_size=3) | st.booleans()
trees = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from("abcd"), inner, max_size=3)
        | st.tuples(inner, inner)
        | st.builds(Pair, inner, inner)
        | st.builds(Part, inner)
    ),
    max_leaves=8,
)


def equal(a, b):
    return state_tree.signature(a) == state_tree.signature(b) and all(
        torch.equal(x, y) for x, y in zip(state_tree.tensors(a), state_tree.tensors(b), strict=True)
    )


@given(trees)
def test_a_snapshot_restores_to_an_equal_tree_that_shares_nothing(tree):
    saved = state_tree.snapshot(tree)
    assert equal(tree, saved)
    again = state_tree.restored(None, saved, CPU)
    assert equal(tree, again)
    addresses = {t.data_ptr() for t in state_tree.tensors(tree)}
    assert addresses.isdisjoint(t.data_ptr() for t in state_tree.tensors(again) if t.numel())


@given(trees, trees)
def test_an_update_has_the_new_values_and_keeps_the_old_addresses_where_it_can(old, new):
    fits = state_tree.signature(old) == state_tree.signature(new)
    places = [t.data_ptr() for t in state_tree.tensors(old)]
    result = state_tree.updated(old, new)
    assert equal(result, new)
    assert (result is old) == fits or not places
    if fits:
        assert [t.data_ptr() for t in state_tree.tensors(result)] == places


def test_dicts_are_paired_by_key_and_not_by_history():
    one, two = torch.ones(2), torch.full((2,), 2.0)
    old = {"a": torch.zeros(2), "b": torch.zeros(2)}
    state_tree.updated(old, {"b": two, "a": one})
    assert torch.equal(old["a"], one)
    assert torch.equal(old["b"], two)


def kv_cache():
    cache = KVCache(
        layers=1, batch_size=1, heads=1, head_dim=2, frame_tokens=1, window=2, sink=0, chunk=1,
        dtype=torch.float32, device="cpu",
    )  # fmt: skip
    cache.begin_chunk(0)
    cache.update(0, torch.rand(1, 1, 1, 2), torch.rand(1, 1, 1, 2))
    return cache


def test_caches_inside_lists_and_dicts_are_restored_in_place():
    tree = Part({"caches": [kv_cache(), kv_cache()], "latents": torch.rand(3)})
    saved = state_tree.snapshot(tree)
    other = Part({"caches": [kv_cache(), kv_cache()], "latents": torch.rand(3)})
    caches = list(other.values["caches"])
    result = state_tree.restored(other, saved, CPU)
    assert all(a is b for a, b in zip(result.values["caches"], caches, strict=True))
    for a, b in zip(caches, tree.values["caches"], strict=True):
        assert torch.equal(a.keys, b.keys)
    assert torch.equal(result.values["latents"], tree.values["latents"])


def test_what_is_no_tree_is_refused_by_name():
    with pytest.raises(TypeError, match="set cannot be part of a rollout's state"):
        state_tree.updated(None, {"seen": {1, 2}})
