"""Sessions computed as one batch: the same up to rounding, and nobody's failure is another's."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from flashdreams.infra.pipeline.together import Together
from flashdreams.testing.toy import ToyTransformer, ToyTransformerConfig
from flashdreams_serve.host.orders import Control, Opening

PUSHES = (1.0, -2.0, 0.5, 3.0)


def drive(host, clock, sessions):
    for seq, push in enumerate(PUSHES, start=1):
        for number, (session, _) in enumerate(sessions, start=1):
            session.control(Control(seq=seq, values={"push": push / number}))
        clock.now += host.card.chunk_seconds
        for _, watcher in sessions:
            watcher.until(lambda self, seq=seq: len(self.chunks) > seq)


def opened(host, clock, watched, count):
    """Sessions that are at the same chunk."""
    sessions = [watched(host, Opening(seed=seed)) for seed in range(count)]
    for _, watcher in sessions:
        watcher.until(lambda self: self.chunks)
    return sessions


def test_a_batch_equals_single_sessions_up_to_rounding(host_of, toy_config, clock, watched):
    films = []
    for batch in (True, False):
        host = host_of(toy_config, clock=clock, batch=batch)
        sessions = opened(host, clock, watched, 3)
        drive(host, clock, sessions)
        films.append([watcher for _, watcher in sessions])
        host.drain(60)
    paths = [{chunk.path for chunk in watcher.chunks[1:]} for watcher in films[0]]
    assert paths == [{"batch of 3"}] * 3
    for together, single in zip(*films, strict=True):
        for a, b in zip(together.chunks, single.chunks, strict=True):
            assert np.abs(a.frames.astype(int) - b.frames).max() <= 1
            assert (a.chunk, a.seq, a.epoch, a.first_frame) == (b.chunk, b.seq, b.epoch, b.first_frame)


@pytest.mark.parametrize(("place", "call"), [("flow", 2), ("flow", 3), ("decode", 1), ("showing", 2)])
def test_a_failure_in_a_batch_costs_one_session_at_most(
    host_of, toy_config, clock, watched, faults, place, call
):
    host = host_of(toy_config, clock=clock, batch=True)
    sessions = opened(host, clock, watched, 3)
    faults.arm(place, call=call)
    clock.now += host.card.chunk_seconds
    for session, watcher in sessions:
        watcher.until(lambda self, session=session: len(self.chunks) > 1 or session.ending)
    clock.now += host.card.chunk_seconds
    living = [watcher for session, watcher in sessions if not session.ending]
    assert len(living) >= 2
    for watcher in living:
        watcher.until(lambda self: len(self.chunks) > 2)
        assert [chunk.chunk for chunk in watcher.chunks] == [0, 1, 2]


def test_one_that_is_refused_is_refused_alone(host_of, toy_config, clock, watched):
    host = host_of(toy_config, clock=clock, batch=True)
    (bad, watching_bad), (good, watching_good) = opened(host, clock, watched, 2)
    bad.control(Control(seq=1, values={"say": "bad"}))
    good.control(Control(seq=1, values={"push": 1.0}))
    clock.now += host.card.chunk_seconds
    for watcher in (watching_bad, watching_good):
        watcher.until(lambda self: len(self.chunks) > 1)
    assert [refused.seq for refused in watching_bad.refusals] == [1]
    assert watching_good.refusals == []
    assert watching_good.chunks[-1].seq == 1


@dataclasses.dataclass(kw_only=True)
class SingleConfig(ToyTransformerConfig):
    _target: Any = dataclasses.field(default_factory=lambda: Single)


class Single(ToyTransformer):
    """Says that it takes batches, and takes one video."""

    def predict_flow(self, latents, timestep, cache, control):
        return super().predict_flow(latents.view(1, *latents.shape[1:]), timestep, cache, control)


def test_a_model_that_cannot_be_batched_is_computed_alone(host_of, toy_config, clock, watched, caplog):
    toy_config.pipeline.diffusion_model.transformer = SingleConfig()
    host = host_of(toy_config, clock=clock, batch=True)
    sessions = opened(host, clock, watched, 2)
    drive(host, clock, sessions)
    for session, watcher in sessions:
        assert {chunk.path for chunk in watcher.chunks} == {"eager"}
        assert session.view().state == "live"
    assert "computed alone" in caplog.text


@pytest.mark.parametrize("batch", [True, False])
def test_chunks_are_final_before_pixels_on_their_way_are_waited_for(
    host_of, toy_config, clock, watched, monkeypatch, batch
):
    """As on a device that works beside the host."""
    host = host_of(toy_config, clock=clock, batch=batch)
    sessions = opened(host, clock, watched, 3)
    rollouts = [session.work.dream_now.rollout for session, _ in sessions]
    runner = sessions[0][0].work.dream_now.runner
    showing, finalize, at_arrival, sizes = runner.showing, Together.finalize, [], []

    def on_its_way(chunk):
        leaving = showing(chunk)

        def arrived():
            at_arrival.append([rollout.next_index for rollout in rollouts])
            return leaving.arrived()

        return dataclasses.replace(leaving, arrived=arrived, is_here=False)

    def counted(together, rollouts):
        finalize(together, rollouts)
        sizes.append(len(rollouts))

    monkeypatch.setattr(runner, "showing", on_its_way)
    monkeypatch.setattr(Together, "finalize", counted)
    clock.now += host.card.chunk_seconds
    for _, watcher in sessions:
        watcher.until(lambda self: len(self.chunks) > 1)
    host.drain(60)
    assert at_arrival == ([[2, 2, 2]] * 3 if batch else [[2, 1, 1], [2, 2, 1], [2, 2, 2]])
    assert sizes == ([3] if batch else [])
