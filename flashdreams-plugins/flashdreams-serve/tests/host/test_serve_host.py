"""Sessions of a real host: what they dream, and how they are steered."""

from __future__ import annotations

import copy

import numpy as np
import pytest

from flashdreams.errors import FieldValueError
from flashdreams.infra.runner.recording import Leaving
from flashdreams_serve.host.host import Host
from flashdreams_serve.host.orders import (
    Close,
    Control,
    GiveLog,
    Opening,
    Pause,
    Resume,
)
from flashdreams_serve.settings import ServeSettings

PUSHES = (0.0, 1.0, 1.0, -2.0, 0.5, 0.0, 3.0, -1.0)


def test_a_card_tells_what_is_served_and_builds_nothing(racer_config):
    host = Host(racer_config, ServeSettings())
    card = host.card
    assert (card.slug, card.height, card.width, card.scale, card.chunk_frames) == (
        "pocket-racer",
        64,
        64,
        6,
        1,
    )
    assert card.chunk_seconds == pytest.approx(0.06)
    tree = card.as_tree()
    assert {axis["name"] for axis in tree["steering"]["axes"]} == {"steer", "gas", "brake"}
    assert host.phase == "loading"
    host.stop()
    assert host.phase == "stopped"


def test_what_makes_no_frames_is_not_served(toy_config):
    toy_config.pipeline.decoder = None
    with pytest.raises(FieldValueError, match="decoder"):
        Host(toy_config, ServeSettings())


def test_a_session_dreams_what_the_pipeline_makes_and_says_when_controls_took_effect(
    ready, clock, toy_config, drive, by_hand, pushes
):
    host, session, watcher = ready
    drive(clock, host, session, watcher, pushes)
    assert [chunk.chunk for chunk in watcher.chunks] == [*range(9)]
    assert watcher.frames == by_hand(toy_config, (0.0, *pushes))
    assert [(receipt.seq, receipt.chunk) for receipt in watcher.receipts] == [(n, n) for n in range(1, 9)]
    assert [chunk.seq for chunk in watcher.chunks] == [*range(9)]
    assert [chunk.first_frame for chunk in watcher.chunks] == [*range(0, 18, 2)]
    changes = sum(a != b for a, b in zip((0.0, *pushes), pushes, strict=False))
    assert watcher.chunks[-1].epoch == changes
    view = session.view()
    assert (view.state, view.chunks, view.frames, view.seed, view.viewers) == ("live", 9, 18, 1, 1)


def test_standings_are_told_in_order(host_of, toy_config, watched, done):
    session, watcher = watched(host_of(toy_config))
    watcher.until(lambda self: len(self.chunks) > 2)
    done(session, Pause())
    done(session, Resume())
    done(session, Close())
    watcher.until_state("ended")
    states = [standing.state for standing in watcher.standings]
    assert [state for state, last in zip(states, ["", *states], strict=False) if state != last] == states
    assert states[-4:] == ["live", "paused", "live", "ended"]
    assert watcher.standings[-1].reason == "closed"


def test_controls_between_two_chunks_are_merged_and_stale_ones_dropped(
    ready, clock, toy_config, step, by_hand
):
    host, session, watcher = ready
    for seq, values in ((1, {"push": 2.0}), (4, {"gear": "high"}), (5, {"push": 1.0}), (3, {"push": -3.0})):
        session.control(Control(seq=seq, values=values, sent_at=float(seq)))
    step(clock, host, watcher)
    assert [(receipt.seq, receipt.chunk) for receipt in watcher.receipts] == [(5, 1)]
    assert (watcher.chunks[1].seq, watcher.chunks[1].sent_at) == (5, 5.0)
    assert watcher.frames == by_hand(toy_config, (0.0, 2.0))
    step(clock, host, watcher)
    assert watcher.chunks[2].seq == 5, "it obeys it still"
    assert watcher.frames == by_hand(toy_config, (0.0, 2.0, 2.0))


def test_a_text_is_said_once_and_flushes_what_was_not_seen(ready, clock, toy_config, step, by_hand):
    host, session, watcher = ready
    session.control(Control(seq=1, values={"say": "hello"}))
    step(clock, host, watcher)
    step(clock, host, watcher)
    assert watcher.frames == by_hand(toy_config, (0.0, 5.0, 0.0))
    assert watcher.dropped == [watcher.chunks[1].epoch]
    assert [chunk.epoch for chunk in watcher.chunks] == [0, 1, 1]


def test_a_control_that_the_model_refuses_is_named_and_the_rest_goes_on(
    ready, clock, toy_config, step, by_hand
):
    host, session, watcher = ready
    session.control(Control(seq=1, values={"push": 1.0}))
    session.control(Control(seq=2, values={"say": "bad"}))
    step(clock, host, watcher)
    assert [(each.seq, each.code, each.what) for each in watcher.refusals] == [
        (2, "control_refused", "The word is bad.")
    ]
    assert [(receipt.seq, receipt.chunk) for receipt in watcher.receipts] == [(1, 1)]
    session.control(Control(seq=3, values={"push": 4.0}))
    step(clock, host, watcher)
    assert [each.seq for each in watcher.refusals] == [2, 3]
    assert watcher.chunks[-1].seq == 1
    assert watcher.frames == by_hand(toy_config, (0.0, 1.0, 1.0))
    assert session.view().state == "live"


def test_sessions_served_at_once_equal_the_same_served_alone(
    ready, clock, toy_config, watched, step, by_hand, pushes
):
    host, first, watching_first = ready
    second, watching_second = watched(host, Opening(seed=7))
    watching_second.until(lambda self: self.chunks)
    for seq, push in enumerate(pushes, start=1):
        first.control(Control(seq=seq, values={"push": push}))
        second.control(Control(seq=seq, values={"push": -push}))
        step(clock, host, watching_first, watching_second)
    assert watching_first.frames == by_hand(toy_config, (0.0, *pushes))
    opposite = [-push for push in (0.0, *pushes)]
    assert watching_second.frames == by_hand(toy_config, opposite, seed=7)


def test_the_racer_drives_the_same_for_one_and_for_two(host_of, racer_config, clock, watched, done, step):
    def driven(host, openings):
        sessions = [watched(host, opening) for opening in openings]
        for _, watcher in sessions:
            watcher.until(lambda self: self.chunks)
        for seq, steer in enumerate((0.0, -0.8, -0.8, 0.5, 0.0), start=1):
            for number, (session, _) in enumerate(sessions):
                values = {"steer": steer * (1 - 2 * number), "gas": 0.3}
                session.control(Control(seq=seq, values=values))
            step(clock, host, *(watcher for _, watcher in sessions))
        for session, _ in sessions:
            done(session, Close())
        return [watcher.frames for _, watcher in sessions]

    host = host_of(racer_config, clock=clock)
    openings = [Opening(seed=1, start="hairpin"), Opening(seed=2)]
    both = driven(host, openings)
    assert len(both[0]) == 6
    assert both[:1] == driven(host, openings[:1])
    assert both[0] != both[1]


def test_another_connection_counts_anew(ready, clock, new_watcher, step):
    host, session, watcher = ready
    session.control(Control(seq=90, values={"push": 1.0}, sent_at=5.0))
    step(clock, host, watcher)
    again = new_watcher()
    session.attach(again)
    step(clock, host, again)
    assert (again.chunks[-1].seq, again.chunks[-1].sent_at) == (0, None)
    session.control(Control(seq=1, values={"push": 2.0}))
    step(clock, host, again)
    assert [(receipt.seq, receipt.chunk) for receipt in again.receipts] == [(1, 3)]


def test_an_outlet_that_raises_is_dropped_and_nobody_else_notices(ready, clock, eventually, step):
    host, session, watcher = ready

    class Broken:
        def show(self, chunk):
            raise RuntimeError("no")

        def drop(self, before_epoch):
            raise RuntimeError("no")

        def tell(self, event):
            pass

    session.attach(Broken())
    assert session.view().viewers == 2
    step(clock, host, watcher)
    eventually(lambda: session.view().viewers == 1)
    step(clock, host, watcher)


def test_an_image_begins_a_dream(host_of, racer_config, watched, done):
    host = host_of(racer_config)
    image = np.full((64, 64, 3), 90, np.uint8)
    session, watcher = watched(host, Opening(seed=1, image=image))
    watcher.until(lambda self: self.chunks)
    log = done(session, GiveLog())["log"]
    _, again = watched(host, Opening(log=replace_chunks(log, 0)))
    again.until(lambda self: self.chunks)
    assert again.frames[0] == watcher.frames[0]


def replace_chunks(log, chunks):
    return {**log, "chunks": chunks, "controls": []}


def test_frames_that_are_still_on_their_way_are_waited_for_after_the_chunk_is_final(
    host_of, toy_config, clock, new_watcher, drive, by_hand, pushes
):
    order = []

    class FarAway(toy_config._target):
        """Its frames leave the device slowly, as those of a GPU do."""

        def showing(self, chunk):
            leaving = super().showing(chunk)
            rollout = host.session(session.id).work.dream.rollout

            def arrived():
                order.append((rollout.next_index, rollout.pending))
                return leaving.arrived()

            return Leaving(arrived, False, leaving.pixel_frames)

    honest = copy.deepcopy(toy_config)
    toy_config._target = FarAway
    host = host_of(toy_config, clock=clock)
    session, watcher = host.open(Opening(seed=1), "somebody"), new_watcher()
    session.attach(watcher)  # nobody dreams unwatched
    watcher.until(lambda self: self.chunks)
    drive(clock, host, session, watcher, pushes)
    assert watcher.frames == by_hand(honest, (0.0, *pushes))
    assert [chunk.chunk for chunk in watcher.chunks] == [*range(9)]
    assert order == [(index, None) for index in range(1, 10)]
