"""Graphs captured beside a rollout that started at once: whose code they hold, and when it moves to them."""

from contextlib import contextmanager
from dataclasses import dataclass

import pytest
import torch

from flashdreams.engine.compile.execution import COMPILED, EAGER
from flashdreams.engine.engine import Engine
from flashdreams.engine.graphs.executor import GraphExecution
from flashdreams.engine.graphs.recording import RecordingBackend
from flashdreams.engine.lanes import Lanes
from flashdreams.infra.config import derive_config
from flashdreams.infra.pipeline.execution import Execution
from flashdreams.infra.pipeline.together import Together
from flashdreams.testing.lane_clocks import RecordedLanes
from flashdreams.testing.lane_races import LaneWatch
from flashdreams.testing.toy import toy_pipeline_config


@dataclass
class Replayed:
    """Calls the function itself, so that whoever watches operators sees them."""

    replay: object
    bytes: int = 0


class InSight(RecordingBackend):
    """Graphs that run in the sight of those who watch operators."""

    def capture(self, function, pool):
        return Replayed(function)


class OtherCode:
    """Stands for compiled code: another head, which shows in the video, from a chunk of one's choice on."""

    def __init__(self, pipeline):
        self.head = pipeline.diffusion_model.transformer.head
        self.path, self.has_hope = EAGER, False

    def begin_chunk(self, rollout, index):
        return self.path

    @contextmanager
    def on_path_of(self, slot):
        before = self.head.forward
        if self.path == COMPILED:
            self.head.forward = lambda tokens: before(tokens) + 1.0
        try:
            yield self.path == COMPILED
        finally:
            self.head.forward = before

    def follow(self, slot, other):
        pass


def made(rollout, count):
    frames, paths = [], []
    for index in range(rollout.next_index, rollout.next_index + count):
        frames.append(rollout.pipeline.generate(index, rollout, input=0.1 * index))
        rollout.pipeline.finalize(index, rollout)
        paths.append(rollout.path)
    return torch.cat(frames, dim=2), paths


def with_other_code(pipeline, graphs):
    code = OtherCode(pipeline)
    pipeline.execution = Engine(Execution(), graphs, code, starts_at_once=True)
    return code


@pytest.mark.parametrize("eager_chunks", [3, 12])
def test_graphs_of_other_code_are_never_replayed(toy, eager_chunks):
    videos, paths = [], []
    for graphs in (None, GraphExecution(RecordingBackend(), mode=True)):
        code = with_other_code(toy, graphs)
        with toy.initialize_cache(seed=1) as other, toy.initialize_cache(seed=0) as rollout:
            frames = [made(rollout, eager_chunks)[0], made(other, 12)[0]]
            code.path, code.has_hope = COMPILED, True
            late, paths = made(rollout, 16)
            videos.append(torch.cat([*frames, late, made(other, 12)[0]], dim=2))
    assert torch.equal(*videos)
    assert paths[0] == "compiled"
    assert paths[-1] == "compiled graph"


def test_moving_to_the_graphs_races_with_no_lane(toy):
    source = RecordedLanes()
    toy.execution = Engine(Lanes(source), GraphExecution(InSight()), starts_at_once=True)
    with LaneWatch(source), toy.initialize_cache(seed=0) as rollout:
        assert made(rollout, 12)[1][-1] == "graph"
        torch.empty(0)
    assert not source.memory.races, "\n".join(source.memory.races)


def test_a_warm_up_serves_rollouts_that_start_at_once(toy):
    graphs = GraphExecution(RecordingBackend(), mode=True, strict=True)
    toy.execution = Engine(Execution(), graphs, starts_at_once=True)
    captured = len(toy.warmup(controls=[0.0]))
    with toy.initialize_cache() as rollout:
        assert made(rollout, 4)[1] == ["graph"] * 4
    assert len(graphs.captures) == captured


def test_nothing_is_captured_for_chunks_that_are_made_in_batches():
    """A batch replays no graphs, and says nothing of the code that each would run alone."""
    pipeline = derive_config(toy_pipeline_config(), encoder=None, slots=4).setup()
    graphs = GraphExecution(RecordingBackend(), mode=True)
    pipeline.execution = Engine(Execution(), graphs, starts_at_once=True)
    together = Together(pipeline)
    with pipeline.initialize_cache(seed=0) as one, pipeline.initialize_cache(seed=1) as other:
        for _ in range(3):
            together.generate([one, other], [None, None])
            together.finalize([one, other])
        assert (one.path, graphs.captures, pipeline.slots.lent) == ("batch of 2", [], 2)
        for index in range(3, 14):
            pipeline.generate(index, one)
            pipeline.finalize(index, one)
        assert one.path == "graph"


def test_a_device_that_is_full_stops_the_capture_and_not_the_rollout(toy):
    class Full(RecordingBackend):
        def run_first(self, function):
            raise torch.OutOfMemoryError("the card is full")

    with toy.initialize_cache(seed=0) as rollout:
        expected, _ = made(rollout, 1)
    toy.execution = Engine(Execution(), GraphExecution(Full()), starts_at_once=True)
    with toy.initialize_cache(seed=0) as rollout:
        frames, paths = made(rollout, 1)
        assert torch.equal(frames, expected)
        assert (rollout.next_index, paths, toy.slots.lent) == (1, ["eager"], 1)
