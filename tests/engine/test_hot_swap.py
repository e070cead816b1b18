import logging

import pytest
import torch

from flashdreams.engine.compile.compiler import Compiler
from flashdreams.engine.compile.execution import CompiledExecution
from flashdreams.engine.hot_swap import HotSwap
from flashdreams.infra.config import derive_config
from flashdreams.io.artefacts import ArtefactStore
from flashdreams.testing.toy import toy_pipeline_config


def swapping_toy(store, **how):
    """A toy pipeline that goes over to compiled code, and the swaps that it tells."""
    pipeline = derive_config(toy_pipeline_config(), slots=3).setup()
    compiler = Compiler(pipeline.diffusion_model.transformer, store=store, waits=False)
    compiler.attach()
    told = []
    swap = HotSwap(compiler, on_swap=lambda rollout, index: told.append((rollout, index)), **how)
    pipeline.execution = CompiledExecution(compiler, swap)
    return pipeline, compiler, told


def paths_and_chunks(rollout, count):
    paths, chunks = [], []
    for index in range(rollout.next_index, rollout.next_index + count):
        chunks.append(rollout.pipeline.generate(index, rollout, input=0.5))
        paths.append(rollout.path)
        rollout.pipeline.finalize(index, rollout)
    return paths, chunks


@pytest.fixture(scope="module")
def store(compiled_store):
    """A store that has the toy's code."""
    pipeline, compiler, _ = swapping_toy(compiled_store, swap_at=0)
    paths_and_chunks(pipeline.initialize_cache(), 1)
    compiler.wait()
    return compiled_store


def test_a_rollout_goes_over_when_all_is_ready_and_the_next_begins_compiled(store, caplog):
    pipeline, compiler, told = swapping_toy(store)
    first, second = pipeline.initialize_cache(), pipeline.initialize_cache()
    with caplog.at_level(logging.INFO):
        assert paths_and_chunks(first, 4)[0] == ["eager", "compiled", "compiled", "compiled"]
    assert "Compiled code takes over at chunk 1." in caplog.text
    assert paths_and_chunks(second, 2)[0] == ["compiled", "compiled"]
    assert told == [(first, 1), (second, 0)]
    assert compiler.late == []


def test_rollouts_side_by_side_keep_their_own_paths(store):
    pipeline, _, _ = swapping_toy(store)
    first, second = pipeline.initialize_cache(seed=1), pipeline.initialize_cache(seed=2)
    _, alone = paths_and_chunks(swapping_toy(store)[0].initialize_cache(seed=1), 3)
    paths, mixed = [], []
    for _ in range(3):
        mixed += paths_and_chunks(first, 1)[1]
        paths += paths_and_chunks(second, 1)[0]
    assert paths == ["compiled"] * 3
    assert all(torch.equal(chunk, other) for chunk, other in zip(mixed, alone, strict=True))


def test_a_replay_goes_over_at_the_same_chunk_and_computes_the_same(store):
    pipeline, _, told = swapping_toy(store, swap_at=3)
    paths, chunks = paths_and_chunks(pipeline.initialize_cache(seed=4), 5)
    assert paths == ["eager"] * 3 + ["compiled"] * 2
    assert told[0][1] == 3
    again = paths_and_chunks(swapping_toy(store, swap_at=3)[0].initialize_cache(seed=4), 5)
    assert again[0] == paths
    assert all(torch.equal(chunk, other) for chunk, other in zip(chunks, again[1], strict=True))
    eager = paths_and_chunks(toy_pipeline_config().setup().initialize_cache(seed=4), 5)[1]
    assert all(torch.equal(chunk, other) for chunk, other in zip(chunks[:3], eager, strict=False))
    assert not torch.equal(chunks[4], eager[4])


def test_a_chunk_that_is_generated_again_takes_the_same_path(store):
    pipeline, _, told = swapping_toy(store)
    rollout = pipeline.initialize_cache()
    first = pipeline.generate(0, rollout)
    assert torch.equal(pipeline.generate(0, rollout), first)
    assert rollout.path == "eager"
    pipeline.finalize(0, rollout)
    second = pipeline.generate(1, rollout)
    assert torch.equal(pipeline.generate(1, rollout), second)
    assert told == [(rollout, 1)]


def test_chunks_are_eager_at_once_while_code_is_being_made(toy, tmp_path):
    pipeline, compiler, told = swapping_toy(ArtefactStore(tmp_path / "empty"))
    paths, chunks = paths_and_chunks(pipeline.initialize_cache(), 5)
    compiler.detach()
    assert (set(paths), told) == ({"eager"}, [])
    expected = paths_and_chunks(toy.initialize_cache(), 5)[1]
    assert all(torch.equal(chunk, other) for chunk, other in zip(chunks, expected, strict=True))
    assert (compiler.seen, compiler.late) == (1, [])


def test_a_size_that_was_never_seen_begins_eagerly(store):
    pipeline, compiler, _ = swapping_toy(store)
    paths_and_chunks(pipeline.initialize_cache(), 2)
    rollout = pipeline.initialize_cache(height=12)
    assert paths_and_chunks(rollout, 1)[0] == ["eager"]
    compiler.detach()
    assert compiler.late == []


def test_after_a_warm_up_the_first_chunk_is_compiled(store):
    pipeline, compiler, told = swapping_toy(store)
    (line,) = pipeline.warmup(controls=[0.5], sizes=[(8, 8)])
    assert str(line) == "ToyBlock called with 1x32x16: compiled"
    rollout = pipeline.initialize_cache()
    paths, chunks = paths_and_chunks(rollout, 2)
    assert paths == ["compiled"] * 2
    assert told[-1] == (rollout, 0)
    fresh = swapping_toy(store, swap_at=0)[0].initialize_cache()
    assert torch.equal(chunks[0], paths_and_chunks(fresh, 1)[1][0])
    assert (compiler.seen, compiler.late) == (1, [])


def test_where_nothing_can_be_compiled_a_replay_stays_eager(tmp_path):
    (tmp_path / "file").write_text("")
    pipeline, compiler, told = swapping_toy(ArtefactStore(tmp_path / "file"), swap_at=1)
    assert paths_and_chunks(pipeline.initialize_cache(), 3)[0] == ["eager"] * 3
    assert (told, len(compiler.failures)) == ([], 1)
