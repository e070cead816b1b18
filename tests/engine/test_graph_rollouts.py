"""Rollouts from graphs: captured in the warm-up alone, replayed from chunk 0, and equal to those without."""

import pytest

from flashdreams.infra.config import derive_config
from flashdreams.infra.diffusion.scheduler.config import UniPCSchedulerConfig
from flashdreams.infra.pipeline.execution import Warming
from flashdreams.testing.graph_replay import replay_rollouts
from flashdreams.testing.toy import toy_pipeline_config


def toy_with(scheduler=None, **changes):
    return derive_config(
        toy_pipeline_config(), diffusion_model=dict(transformer=changes, **dict(scheduler=scheduler or {}))
    ).setup()


def steering(index):
    return 0.1 * index


def test_seven_chunks_and_a_hundred_from_the_graphs_of_the_warm_up(toy):
    report = replay_rollouts(toy, chunks=(7, 100), controls=steering, checks=False)
    assert [capture.stage for capture in report.captures] == ["denoise", "write_context"] * 3 + ["decode"] * 2
    assert [capture.kind for capture in report.captures] == [
        *("96", "96", "64", "64", "32", "32"),  # tokens in sight, most first
        *("later chunks", "first chunk"),
    ]
    assert report.paths == [["graph"] * 7, ["graph"] * 100]
    assert report.differing == []
    assert (report.waits, report.kept) == ([], [])
    steady = report.between
    assert len(steady) == (7 - 3) + (100 - 3)
    assert all(chunk == steady[0] for chunk in steady)
    # Outside of graphs are the control, the index into the ring, the noise, and the copies that callers keep.
    arithmetic = ("mm", "addmm", "convolution", "softmax", "attention", "layer_norm", "silu")
    assert not [name for name in steady[0] if any(word in name for word in arithmetic)]


@pytest.mark.parametrize("rope_positions", ["absolute", "window"])
@pytest.mark.parametrize("sink", [0, 2])
def test_every_replay_does_what_the_code_would_do(rope_positions, sink):
    pipeline = toy_with(rope_positions=rope_positions, sink=sink)
    report = replay_rollouts(pipeline, chunks=(5, 8), controls=steering)
    assert (report.differing, report.waits, report.kept) == ([], [], [])


def test_with_many_steps_each_pass_is_a_graph():
    pipeline = toy_with(scheduler=UniPCSchedulerConfig(num_inference_steps=12))
    report = replay_rollouts(pipeline, chunks=(5,), controls=steering)
    assert [capture.stage for capture in report.captures[:2]] == ["flow", "write_context"]
    assert len(report.captures) == 3 * 2 + 2
    assert (report.differing, report.waits, report.kept) == ([], [], [])


def test_with_few_steps_of_a_solver_that_remembers_the_loop_is_a_graph():
    pipeline = toy_with(scheduler=UniPCSchedulerConfig(num_inference_steps=4))
    report = replay_rollouts(pipeline, chunks=(5,), controls=steering)
    assert report.captures[0].stage == "denoise"
    assert report.differing == []


def test_without_encoder_and_decoder():
    config = derive_config(toy_pipeline_config(), encoder=None, decoder=None)
    report = replay_rollouts(config.setup(), chunks=(5, 5))
    assert (report.differing, report.waits, report.kept) == ([], [], [])


def test_a_pipeline_without_graphs_has_nothing_to_make_ready(toy):
    assert toy.warmup(controls=[1.0]) == []
    assert Warming().slots == 1
