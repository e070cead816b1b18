"""Copies of a rollout: what a snapshot takes is known before, and a fork takes no host memory."""

import numpy as np
import pytest
import torch

import flashdreams
from flashdreams.core.kv_cache import KVCache
from flashdreams.core.kv_cache_naive import NaiveKVCache
from flashdreams.errors import ClosedRolloutError, NoFreeSlotError, OutOfOrderError
from flashdreams.infra import state_tree
from flashdreams.infra.config import derive_config
from flashdreams.testing.toy import toy_pipeline_config


def stored(tree):
    """Bytes of all memory that a tree of tensors holds, what views leave out of it included."""
    memories = {
        t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in state_tree.tensors(tree)
    }
    return sum(memories.values())


def memory_of(snapshot):
    return stored([snapshot.transformer, snapshot.encoder, snapshot.decoder])


def toy_of(**transformer):
    return derive_config(toy_pipeline_config(), diffusion_model=dict(transformer=transformer)).setup()


@pytest.mark.parametrize("chunks", [0, 1, 2, 3, 6])
@pytest.mark.parametrize(
    "changes", [{}, dict(cache_dtype="float8_e4m3fn"), dict(rope_positions="window", window=8, sink=2)]
)
def test_a_snapshot_takes_what_was_said_before(chunks, changes):
    pipeline = toy_of(**changes)
    with pipeline.initialize_cache(batch_size=2, prompts="a road") as rollout:
        list(pipeline.stream(rollout, [0.5] * chunks))
        said = rollout.snapshot_bytes()
        snapshot = rollout.snapshot()
        assert said == snapshot.bytes == memory_of(snapshot)
        pipeline.generate(chunks, rollout, input=0.5)
        assert rollout.snapshot_bytes() == rollout.snapshot().bytes


def test_a_snapshot_takes_more_until_the_window_is_full():
    pipeline = toy_of(window=6, chunk=2)
    with pipeline.initialize_cache() as rollout:
        sizes = [rollout.snapshot_bytes()]
        for chunk in pipeline.stream(rollout, [0.0] * 5):
            assert chunk.shape[2] == 2
            sizes.append(rollout.snapshot_bytes())
    before, *filling, late, later, last = sizes
    assert before < filling[0] < filling[1] < late == later == last


def test_the_racer_says_what_its_snapshot_takes():
    pipeline = flashdreams.load("pocket-racer", device="cpu")
    with pipeline.initialize_cache(seed=1) as rollout:
        list(pipeline.stream(rollout, [(0.0, 0.5, 0.0)] * 3))
        said = rollout.snapshot_bytes()
        assert said == rollout.snapshot().bytes > 10_000


def test_a_cache_that_does_not_say_it_counts_with_its_tensors(monkeypatch):
    monkeypatch.setattr("flashdreams.testing.toy.KVCache", NaiveKVCache)
    pipeline = toy_pipeline_config().setup()
    with pipeline.initialize_cache() as rollout:
        list(pipeline.stream(rollout, [0.5] * 5))
        assert rollout.snapshot_bytes() == rollout.snapshot().bytes


class Foreign:
    """Looks after itself, and hands out what is no tree."""

    def snapshot(self):
        return {"array": np.zeros(10), "set": {1, 2}, "tensor": torch.zeros(3)}

    def restore(self, snapshot):
        pass


def test_of_what_objects_hand_out_tensors_and_arrays_are_counted():
    assert (
        state_tree.taken_bytes(state_tree.snapshot([Foreign(), torch.zeros(2, 2), 7, None])) == 80 + 12 + 16
    )


def test_a_closed_rollout_does_not_say_what_it_takes(toy):
    rollout = toy.initialize_cache()
    rollout.close()
    with pytest.raises(ClosedRolloutError):
        rollout.snapshot_bytes()


def test_a_fork_is_copied_on_the_device(toy, monkeypatch):
    monkeypatch.setattr(KVCache, "snapshot", None)
    with toy.initialize_cache(seed=4) as rollout:
        list(toy.stream(rollout, [0.5] * 4))
        with rollout.fork() as fork:
            assert fork.next_index == 4
            theirs, ours = (toy.generate(4, each, input=-1.0) for each in (fork, rollout))
    assert torch.equal(theirs, ours)


def test_a_fork_that_cannot_be_leaves_no_slot_behind(toy):
    rollouts = [toy.initialize_cache() for _ in range(toy.config.slots)]
    with pytest.raises(NoFreeSlotError):
        rollouts[0].fork()
    rollouts.pop().close()
    toy.generate(0, rollouts[0])
    rollouts[0].pending.written = True
    with pytest.raises(OutOfOrderError, match="interrupted half-way"):
        rollouts[0].fork()
    assert toy.slots.lent == len(rollouts)
