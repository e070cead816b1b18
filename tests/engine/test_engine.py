"""The engine put together: which path a chunk takes, and that every path makes the same video."""

import gc

import pytest
import torch

from flashdreams.engine.engine import Engine
from flashdreams.engine.equip import engine_for
from flashdreams.engine.graphs.executor import GraphExecution
from flashdreams.engine.graphs.recording import RecordingBackend
from flashdreams.engine.hooks import HookWatch
from flashdreams.engine.lines.execution import StraightLines
from flashdreams.errors import DeviceError
from flashdreams.infra.config import derive_config
from flashdreams.infra.pipeline.execution import Execution
from flashdreams.infra.pipeline.observers import Observers
from flashdreams.testing.toy import toy_pipeline_config


def recording(pipeline, **options):
    """An engine whose graphs are recordings, each replay compared with the stage itself."""
    graphs = GraphExecution(RecordingBackend(), mode=True)
    pipeline.execution = Engine(Execution(), graphs, hooks=HookWatch(pipeline), **options)
    return pipeline.execution


def made(pipeline, chunks, seed=0, **begin):
    """Chunks of a rollout, and the path of each."""
    with pipeline.initialize_cache(seed=seed, **begin) as rollout:
        return made_by(rollout, chunks)


def made_by(rollout, chunks):
    frames, paths = [], []
    for index in range(rollout.next_index, rollout.next_index + chunks):
        frames.append(rollout.pipeline.generate(index, rollout, input=0.1 * index))
        rollout.pipeline.finalize(index, rollout)
        paths.append(rollout.path)
    return torch.cat(frames, dim=2), paths


def test_graphs_are_there_before_the_first_chunk(toy):
    expected, _ = made(toy, 8)
    engine = recording(toy)
    assert engine.needs_warm_up
    captured = toy.warmup(controls=[0.0])
    assert len(captured) == 8
    assert not engine.needs_warm_up
    for _ in range(2):
        frames, paths = made(toy, 8)
        assert torch.equal(frames, expected)
        assert paths == ["graph"] * 8
    assert len(engine.graphs.captures) == 8


def test_a_rollout_that_starts_at_once_goes_over_to_graphs_between_chunks(toy):
    expected, _ = made(toy, 14)
    engine = recording(toy, starts_at_once=True)
    frames, paths = made(toy, 14)
    assert torch.equal(frames, expected)
    # Eight captures, one after each chunk, and the ninth step finds that all are there.
    assert paths == ["eager"] * 9 + ["graph"] * 5
    assert len(engine.graphs.captures) == 8
    assert toy.slots.lent == 0


def test_the_next_rollout_in_that_slot_replays_from_its_first_chunk(toy):
    engine = recording(toy, starts_at_once=True)
    with toy.initialize_cache(seed=0) as first:
        made_by(first, 10)
        warm = first.slot
    with toy.initialize_cache(seed=3) as second, toy.initialize_cache(seed=3) as third:
        in_warm = next(r for r in (second, third) if r.slot is warm)
        frames, paths = made_by(in_warm, 4)
    assert paths == ["graph"] * 4
    assert len(engine.graphs.captures) == 8
    toy.execution = Execution()
    assert torch.equal(frames, made(toy, 4, seed=3)[0])


def test_a_capture_never_writes_a_living_rollout(toy):
    recording(toy, starts_at_once=True)
    with toy.initialize_cache(seed=0) as rollout:
        made_by(rollout, 2)
        before = rollout.snapshot()
        engine, slot = toy.execution, rollout.slot
        ahead = engine._ahead[rollout]
        while not ahead.is_done:
            ahead.advance(rollout)
        assert rollout.slot is slot
        after = rollout.snapshot()
    assert torch.equal(before.transformer.past["keys"], after.transformer.past["keys"])
    assert torch.equal(before.transformer.past["values"], after.transformer.past["values"])
    assert torch.equal(before.decoder, after.decoder)


def test_without_a_second_slot_graphs_are_captured_as_they_are_met():
    pipeline = derive_config(toy_pipeline_config(), slots=1).setup()
    expected, _ = made(pipeline, 8)
    recording(pipeline, starts_at_once=True)
    frames, paths = made(pipeline, 8)
    assert torch.equal(frames, expected)
    assert paths == ["eager"] + ["graph"] * 7


def test_snapshots_and_forks_go_on_after_the_move(toy):
    recording(toy, starts_at_once=True)
    with toy.initialize_cache(seed=0) as rollout:
        made_by(rollout, 11)
        with rollout.fork() as fork:
            assert torch.equal(made_by(rollout, 2)[0], made_by(fork, 2)[0])
    assert toy.slots.lent == 0


def test_a_rollout_that_is_closed_gives_both_slots_back(toy):
    recording(toy, starts_at_once=True)
    rollout = toy.initialize_cache(seed=0)
    made_by(rollout, 3)
    assert toy.slots.lent == 2
    rollout.close()
    assert toy.slots.lent == 0


def test_a_rollout_that_is_collected_gives_both_slots_back(toy):
    recording(toy, starts_at_once=True)
    rollout = toy.initialize_cache(seed=0)
    made_by(rollout, 3)
    del rollout
    gc.collect()
    assert toy.slots.lent == 0


def test_observers_are_told_nothing_of_a_warm_up(toy):
    told = []

    class Telling(Observers):
        def rollout_started(self, rollout):
            told.append("started")

    toy.observers = Telling()
    recording(toy)
    toy.warmup(controls=[0.0])
    assert told == []
    made(toy, 1)
    assert told == ["started"]


def test_moving_the_pipeline_drops_all_graphs(toy):
    engine = recording(toy)
    toy.warmup(controls=[0.0])
    toy.to("cpu")
    assert engine.graphs.count == 0


@pytest.mark.parametrize("kind", ["lines", "graphs"])
def test_hooks_of_modules_are_called_however_late_they_come(toy, kind):
    if kind == "lines":
        toy.execution = engine_for(toy)
    else:
        recording(toy)
        toy.warmup(controls=[0.0])
    calls = []
    with toy.initialize_cache(seed=0) as rollout:
        before, _ = made_by(rollout, 6)
        block = toy.diffusion_model.transformer.blocks[0]
        handle = block.register_forward_hook(lambda *_: calls.append(1))
        watched, paths = made_by(rollout, 1)
        assert paths == ["eager"]
        assert len(calls) == 2 + 1  # two denoising steps and the pass that writes keys and values
        handle.remove()
        after, _ = made_by(rollout, 2)
        assert len(calls) == 3
    toy.execution = Execution()
    assert torch.equal(torch.cat([before, watched, after], dim=2), made(toy, 9)[0])


def test_on_a_cpu_lines_make_the_same_video(toy):
    expected, _ = made(toy, 12)
    engine = toy.execution = engine_for(toy)
    for _ in range(2):
        assert torch.equal(made(toy, 12)[0], expected)
    assert isinstance(engine.lines, StraightLines)
    # In the second rollout each stage has come three times at every fill level of the window but the first.
    assert engine.lines.count >= 3
    assert engine.lines.refused == {}


def test_lines_and_graphs_can_be_refused():
    config = derive_config(
        toy_pipeline_config(), diffusion_model=dict(transformer=dict(use_cuda_graph=False))
    )
    engine = engine_for(config.setup())
    assert engine.lines is None
    assert engine.graphs is None
    wanted = derive_config(config, diffusion_model=dict(transformer=dict(use_cuda_graph=True)))
    with pytest.raises(DeviceError, match="NVIDIA GPU"):
        engine_for(wanted.setup())
