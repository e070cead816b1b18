"""Which graph is replayed, which are kept, and what happens where there is none."""

import gc
import logging

import pytest
import torch

from flashdreams.engine.graphs.executor import GraphExecution
from flashdreams.engine.graphs.recording import RecordingBackend
from flashdreams.errors import FieldValueError, GraphCaptureError, GraphFaultError
from flashdreams.infra.config import derive_config
from flashdreams.infra.pipeline.execution import Execution
from flashdreams.testing.toy import ToyTransformer, toy_pipeline_config

FILL_LEVELS = 3
PER_SLOT = 2 * FILL_LEVELS + 2


class Waiting(ToyTransformer):
    """Cannot be captured."""

    def predict_flow(self, latents, timestep, cache, control):
        flow = super().predict_flow(latents, timestep, cache, control)
        return flow * (1.0 if timestep.item() > 500 else 0.5)


def pipeline_on_graphs(transformer=ToyTransformer, **options):
    config = toy_pipeline_config()
    config.diffusion_model.transformer._target = transformer
    pipeline = config.setup()
    pipeline.execution = GraphExecution(RecordingBackend(), **options)
    return pipeline


def videos(pipeline, count=5, **conditions):
    with pipeline.initialize_cache(**conditions) as rollout:
        return list(pipeline.stream(rollout, [0.5] * count))


def same(these, those):
    return all(torch.equal(a, b) for a, b in zip(these, those, strict=True))


def test_graphs_are_captured_when_first_met(toy):
    pipeline = pipeline_on_graphs()
    assert same(videos(pipeline), videos(toy))
    assert len(pipeline.execution.captures) == PER_SLOT
    assert same(videos(pipeline, count=9, seed=3), videos(toy, count=9, seed=3))
    assert len(pipeline.execution.captures) == PER_SLOT
    assert pipeline.execution.bytes == sum(capture.bytes for capture in pipeline.execution.captures)


def test_every_living_rollout_has_graphs_of_its_own(toy):
    pipeline = pipeline_on_graphs(mode=True, strict=True)
    pipeline.warmup(controls=[0.5], slots=2)
    assert pipeline.execution.count == 2 * PER_SLOT
    with pipeline.initialize_cache(seed=1) as one, pipeline.initialize_cache(seed=2) as two:
        pairs = list(zip(pipeline.stream(one, [0.5] * 4), pipeline.stream(two, [0.5] * 4), strict=True))
    assert same([pair[0] for pair in pairs], videos(toy, 4, seed=1))
    assert same([pair[1] for pair in pairs], videos(toy, 4, seed=2))


def test_sizes_have_graphs_of_their_own_and_the_larger_come_first():
    pipeline = pipeline_on_graphs(mode=True, strict=True)
    made = pipeline.warmup(controls=[0.5], sizes=[(4, 4), (8, 12)])
    assert [capture.size[1:] for capture in made] == [(8, 12)] * PER_SLOT + [(4, 4)] * PER_SLOT
    assert videos(pipeline, height=4, width=4)[0].shape[-2:] == (4, 4)
    assert videos(pipeline, height=8, width=12)[0].shape[-2:] == (8, 12)
    with pytest.raises(FieldValueError, match="8 rollouts of 1 sizes"):
        pipeline.warmup(slots=8)


def test_a_chunk_may_be_made_again_and_a_rollout_forked(toy):
    def tale(pipeline):
        with pipeline.initialize_cache() as rollout:
            chunks = [pipeline.generate(0, rollout, input=value) for value in (1.0, -1.0)]
            pipeline.finalize(0, rollout)
            with rollout.fork() as fork:
                chunks += pipeline.stream(fork, [0.2] * 3)
            return chunks + list(pipeline.stream(rollout, [0.1] * 3))

    assert same(tale(pipeline_on_graphs(mode=True)), tale(toy))


def test_a_returned_chunk_is_never_overwritten():
    pipeline = pipeline_on_graphs()
    with pipeline.initialize_cache() as rollout:
        first = pipeline.generate(0, rollout, input=1.0)
        copy = first.clone()
        again = pipeline.generate(0, rollout, input=-1.0)
    assert torch.equal(first, copy)
    assert not torch.equal(first, again)


def test_of_too_many_graphs_the_longest_unused_are_dropped(toy):
    pipeline = pipeline_on_graphs(limit=4)
    assert same(videos(pipeline, 8), videos(toy, 8))
    assert pipeline.execution.count == 4
    steady = len(pipeline.execution.captures)
    assert same(videos(pipeline, 3, seed=1), videos(toy, 3, seed=1))
    assert len(pipeline.execution.captures) > steady


def test_graphs_go_with_their_slot():
    pipeline = pipeline_on_graphs()
    videos(pipeline)
    assert pipeline.execution.count == PER_SLOT
    pipeline.slots.clear()
    gc.collect()
    assert pipeline.execution.count == 0


def test_a_pipeline_that_moves_forgets_its_graphs(toy):
    pipeline = pipeline_on_graphs()
    videos(pipeline)
    pipeline.to("cpu")
    assert pipeline.execution.count == 0
    assert same(videos(pipeline), videos(toy))


def test_what_cannot_be_captured_runs_eagerly_and_says_why(caplog):
    pipeline = pipeline_on_graphs(Waiting)
    eager = pipeline_on_graphs(Waiting, mode=False)
    with caplog.at_level(logging.WARNING):
        assert same(videos(pipeline), videos(eager))
    assert len(caplog.records) == 2  # denoise and write_context; decode has its graphs
    assert "_local_scalar_dense" in caplog.text
    assert "1. If memory is short" in caplog.text
    assert {capture.stage for capture in pipeline.execution.captures} == {"decode"}
    with pipeline.initialize_cache() as rollout:
        pipeline.generate(0, rollout)
        assert rollout.path == "eager"


def test_where_graphs_are_demanded_that_is_an_error():
    with pytest.raises(GraphCaptureError, match="No graph of the stage 'denoise'"):
        videos(pipeline_on_graphs(Waiting, mode=True))


def test_without_graphs_nothing_is_captured():
    pipeline = pipeline_on_graphs(mode=False)
    assert pipeline.warmup() == []
    videos(pipeline)
    assert pipeline.execution.captures == []


@pytest.mark.parametrize("strict", [True, False])
def test_a_capture_after_the_warm_up(strict, caplog, toy):
    pipeline = pipeline_on_graphs(strict=strict)
    pipeline.warmup(controls=[0.5])
    if strict:
        with pytest.raises(GraphFaultError, match="captured after the warm-up"):
            videos(pipeline, batch_size=2)
    else:
        assert same(videos(pipeline, batch_size=2), videos(toy, batch_size=2))
        assert "captured after the warm-up: the slot has none yet" in caplog.text


def test_what_a_stage_raises_is_raised():
    class Broken(ToyTransformer):
        def predict_flow(self, latents, timestep, cache, control):
            raise ZeroDivisionError("mine")

    with pytest.raises(ZeroDivisionError, match="mine"):
        videos(pipeline_on_graphs(Broken))


def test_the_warm_up_leaves_nothing_of_it_in_the_next_rollout(toy):
    pipeline = pipeline_on_graphs(mode=True, strict=True)
    pipeline.warmup(controls=[0.5], conditions=dict(prompts="a fox"))
    assert same(videos(pipeline, prompts="a whale"), videos(toy, prompts="a whale"))
    assert pipeline.slots.lent == 0
    pipeline.execution = Execution()
    assert same(videos(pipeline), videos(derive_config(toy_pipeline_config()).setup()))
