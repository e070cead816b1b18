"""Straight lines of calls: what they compute, and what they refuse."""

import gc

import numpy as np
import pytest
import torch

from flashdreams.engine.graphs.executor import GraphExecution
from flashdreams.engine.lines.execution import LineBackend, StraightLines
from flashdreams.engine.lines.recording import record
from flashdreams.errors import GraphCaptureError
from flashdreams.infra.config import derive_config
from flashdreams.testing.toy import ToyTransformer, toy_pipeline_config

CHUNKS = 9


def chunks(pipeline, seed=0):
    with pipeline.initialize_cache(seed=seed, prompts=["a toy"]) as rollout:
        return [chunk.clone() for chunk in pipeline.stream(rollout, [0.1 * i for i in range(CHUNKS)])]


@pytest.mark.parametrize("changes", [{}, {"sink": 2}, {"rope_positions": "window"}])
def test_rollouts_are_what_they_are_eagerly_bit_for_bit(changes):
    config = derive_config(toy_pipeline_config(), diffusion_model=dict(transformer=changes))
    eager, engine = config.setup(), config.setup()
    engine.execution = GraphExecution(LineBackend(), mode=True)
    for seed in (0, 1):
        for ours, theirs in zip(chunks(engine, seed), chunks(eager, seed), strict=True):
            assert torch.equal(ours, theirs)
    met = len(engine.execution.captures)
    chunks(engine, 2)
    assert len(engine.execution.captures) == met > 0


@pytest.mark.parametrize("changes", [{}, {"sink": 2}, {"rope_positions": "window"}])
def test_what_comes_again_and_again_becomes_a_line(changes):
    config = derive_config(toy_pipeline_config(), diffusion_model=dict(transformer=changes))
    eager, engine = config.setup(), config.setup()
    lines = engine.execution = StraightLines()
    for seed in range(4):
        for ours, theirs in zip(chunks(engine, seed), chunks(eager, seed), strict=True):
            assert torch.equal(ours, theirs)
    assert not lines.refused
    in_use = lines.count
    assert in_use >= 2 * len(range(0, engine.diffusion_model.transformer.config.window, 2))
    chunks(engine, 9)
    assert lines.count == in_use
    lines.forget()
    assert lines.count == 0


def test_lines_are_dropped_where_there_are_too_many(toy):
    lines = toy.execution = StraightLines(limit=2)
    for seed in range(4):
        chunks(toy, seed)
    assert lines.count <= 2


def test_a_slot_that_is_gone_takes_its_lines_along(toy):
    lines = toy.execution = StraightLines()
    for seed in range(3):
        chunks(toy, seed)
    assert lines.count > 0
    toy.slots.clear()
    gc.collect()
    assert lines.count == 0


def test_a_line_makes_the_same_calls_without_the_python_between():
    weight, inputs, asked = torch.randn(4, 4), torch.randn(2, 4), []

    def function():
        asked.append(None)
        a, b = (inputs @ weight).chunk(2, dim=-1)
        a = torch.nn.functional.layer_norm(a, (2,))
        return {"sum": a + b.flatten()[:4].view(2, 2), "half": [a[..., :1]]}

    result, line = record(function)
    run = line.function()
    inputs.add_(1)
    again, eager = run(), function()
    assert len(asked) == 2
    assert torch.equal(again["sum"], eager["sum"])
    assert torch.equal(again["half"][0], eager["half"][0])
    assert not torch.equal(again["sum"], result["sum"])


def test_memory_is_given_back_where_the_function_gives_it_back():
    def function():
        x = torch.zeros(8)
        for _ in range(20):
            x = x + 1
        return x

    _, line = record(function)
    names = set(line.function().__code__.co_varnames)
    assert len(names) == 2  # the sum, and the one before it


def test_what_is_written_to_memory_from_outside_is_written_again():
    total, step = torch.zeros(3), torch.ones(3)

    def function():
        total[1:] = total[1:] + step[1:]
        total.add_(step)

    _, line = record(function)
    line.function()()
    assert total.tolist() == [2, 4, 4]


def test_views_of_memory_that_stays_are_taken_once():
    memory = torch.zeros(4, 6)

    def function():
        seen = memory.narrow(0, 0, 2).transpose(0, 1)
        memory[:, :1].add_(1)
        return seen.sum() + memory[3, 0]

    _, every = record(function, keeps_views=False)
    _, line = record(function)
    assert every.calls - line.calls == 4  # narrow, transpose, and two by index
    memory.zero_()
    assert line.function()() == 3
    assert line.function()() == 6


def changing_branch():
    turns = iter(range(9))
    x = torch.ones(2)
    return lambda: x.add(1) if next(turns) % 2 else x.mul(2)


def memory_from_elsewhere():
    return lambda: torch.from_numpy(np.random.default_rng().random(3)) + 1


def value_on_the_host():
    x = torch.ones(2)
    return lambda: x * x[0].item()


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (changing_branch, "the next time"),
        (memory_from_elsewhere, "others the next time, first a tensor"),
        (value_on_the_host, "item, which reads values"),
    ],
)
def test_what_a_line_would_get_wrong_is_refused(fault, said):
    with pytest.raises(RuntimeError, match=said):
        LineBackend().capture(fault(), "")


class Fickle(ToyTransformer):
    """Fault: reads a value on the host."""

    def predict_flow(self, latents, timestep, cache, control):
        return super().predict_flow(latents, timestep, cache, control) * float(timestep > 0)


def test_a_stage_that_is_refused_runs_eagerly_or_is_an_error():
    config = toy_pipeline_config()
    config.diffusion_model.transformer._target = Fickle
    eager, engine = config.setup(), config.setup()
    engine.execution = GraphExecution(LineBackend())
    assert all(torch.equal(a, b) for a, b in zip(chunks(engine), chunks(eager), strict=True))
    assert "denoise" in engine.execution.refused
    engine.execution = StraightLines()
    for seed in range(3):
        assert all(torch.equal(a, b) for a, b in zip(chunks(engine, seed), chunks(eager, seed), strict=True))
    assert "reads values" in engine.execution.refused["denoise"]
    engine.execution = GraphExecution(LineBackend(), mode=True)
    with pytest.raises(GraphCaptureError, match="reads values"):
        chunks(engine)
