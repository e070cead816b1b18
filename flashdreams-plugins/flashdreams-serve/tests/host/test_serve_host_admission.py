"""Sessions of a real host: opened, queued, counted, drained."""

from __future__ import annotations

import itertools
import threading

import numpy as np
import pytest

from flashdreams.errors import ControlError
from flashdreams_serve.host.errors import (
    DrainingError,
    OpeningError,
    QueueFullError,
    TooManySessionsError,
)
from flashdreams_serve.host.host import Host
from flashdreams_serve.host.orders import (
    Close,
    GiveLog,
    Opening,
    Pause,
    Reset,
)
from flashdreams_serve.settings import ServeSettings

PUSHES = (0.0, 1.0, 1.0, -2.0, 0.5, 0.0, 3.0, -1.0)


def test_the_queue_tells_its_positions_and_moves_up(
    host_of, toy_config, watched, new_watcher, eventually, done, refusal
):
    host = host_of(toy_config, sessions=1, queue=2)
    first, _ = watched(host)
    second, watching_second = watched(host)
    third, watching_third = watched(host)
    assert (second.view().state, second.view().position) == ("queued", 1)
    assert (third.view().state, third.view().position) == ("queued", 2)
    with pytest.raises(QueueFullError):
        host.open(Opening(), "somebody else")
    assert refusal(second, Pause()) == "not_begun"
    assert refusal(second, GiveLog()) == "not_begun"
    done(first, Close())
    watching_second.until(lambda self: self.chunks)
    assert watching_third.until(lambda self: self.standings[-1].position == 1).standings[-1].state == "queued"
    done(third, Close())
    watching_third.until_state("ended")
    assert [session.state for session in host.sessions()] == ["live"]
    assert host.session(third.id) is third, "it can still be asked how it stands"
    assert host.session("nobody") is None


def test_a_client_has_so_many_sessions(host_of, toy_config, watched, done):
    host = host_of(toy_config, sessions=1, sessions_per_client=2)
    first, _ = watched(host)
    watched(host)
    with pytest.raises(TooManySessionsError):
        host.open(Opening(), "somebody")
    host.open(Opening(), "somebody else")
    done(first, Close())
    host.open(Opening(), "somebody")


def test_what_a_model_does_not_begin_with_is_refused_at_once(host_of, toy_config):
    host = host_of(toy_config)
    image = np.zeros((8, 8, 3), np.uint8)
    for opening in (Opening(start="moon"), Opening(prompt=" "), Opening(seed=2**63), Opening(image=image)):
        with pytest.raises(OpeningError):
            host.open(opening, "somebody")
    with pytest.raises(ControlError):
        host.open(Opening(log={"format": "flashdreams-control-log"}), "somebody")
    assert host.sessions() == []


def test_a_drawn_seed_is_named(host_of, toy_config, watched):
    host = host_of(toy_config)
    seeds = {watched(host, Opening())[0].seed for _ in range(3)}
    assert len(seeds) == 3


def test_draining_ends_all_and_saves_what_they_keep(host_of, toy_config, watched, tape):
    tapes = []

    def recorder(session_id):
        tapes.append(tape())
        return tapes[-1]

    host = host_of(toy_config, sessions=2, recorder=recorder)
    watching = [watched(host)[1] for _ in range(3)]
    watching[0].until(lambda self: self.chunks)
    host.drain(60)
    assert host.phase == "draining"
    for watcher in watching:
        standing = watcher.standings[-1]
        assert (standing.state, standing.reason, standing.detail) == (
            "ended",
            "drained",
            {"video": "end.mp4"},
        )
    logs = [log for tape in tapes for log in tape.logs]
    assert logs[-1] is None, "it has never begun"
    assert logs[0]["opening"] == {"seed": 1}
    assert 0 <= len(watching[0].chunks) - logs[0]["chunks"] <= 1
    with pytest.raises(DrainingError):
        host.open(Opening(), "somebody")
    assert host.sessions() == []


def test_draining_does_not_wait_longer_than_it_may(host_of, toy_config, watched, tape):
    goes_on = threading.Event()

    class Slow(tape):
        def save_at_end(self, control_log):
            goes_on.wait(60)
            return super().save_at_end(control_log)

    host = host_of(toy_config, recorder=lambda session_id: Slow())
    _, watcher = watched(host)
    watcher.until(lambda self: self.chunks)
    host.drain(0.05)
    assert watcher.standings[-1].state == "live"
    goes_on.set()
    watcher.until_state("ended")


def test_sessions_may_be_opened_while_the_model_is_loaded(toy_config, watched):
    host = Host(toy_config, ServeSettings())
    session, watcher = watched(host)
    assert session.view().state == "opening"
    paused = session.order(Pause())
    closing, _ = watched(host)
    assert closing.order(Close()).result(0) == {}
    host.start()
    assert host.wait_ready(60)
    assert paused.result(60) == {}
    watcher.until_state("paused")
    host.stop()
    assert watcher.standings[-1].reason == "drained"
    assert host.session(session.id) is session


def test_observers_are_told_and_one_that_raises_is_let_be(host_of, toy_config, watched, done):
    from flashdreams_serve.host.observing import HostObserver

    class Counting(HostObserver):
        def __init__(self):
            self.phases, self.opened, self.ended, self.chunks, self.used = [], 0, [], 0, []

        def phase(self, phase):
            self.phases.append(phase)

        def session_opened(self):
            self.opened += 1

        def session_ended(self, reason):
            self.ended.append(reason)

        def chunk_made(self, made, missed):
            self.chunks += 1
            if self.chunks > 3:
                raise RuntimeError("enough")

        def slots(self, used, limit, waiting):
            self.used.append((used, limit, waiting))

    counting = Counting()
    host = host_of(toy_config, observer=counting, sessions=1)
    session, watcher = watched(host)
    watched(host)
    watcher.until(lambda self: len(self.chunks) > 6)
    assert counting.phases == ["ready"]
    assert counting.opened == 2
    since_opened = [used for used in counting.used if used != (0, 1, 0)]  # as long as nobody had come
    assert since_opened[:2] == [(1, 1, 0), (1, 1, 1)]
    assert counting.chunks == 4
    done(session, Close())


def test_who_floods_together_holds_up_the_others_no_more_than_one_who_does(host_of, toy_config, watched):
    seconds = itertools.count()
    host = host_of(toy_config, clock=lambda: float(next(seconds)), idle_seconds=1e9)  # all are always due
    (_, other), *flooding = (watched(host) for _ in range(4))
    for _, watcher in flooding:
        watcher.until(lambda self: self.chunks)
    queued, show = threading.Event(), other.show
    other.show = lambda chunk: (show(chunk), queued.wait(60))
    seen = len(other.chunks)
    other.until(lambda self: len(self.chunks) > seen)  # and nothing goes on until it may
    resets = [Reset(host.beginning(Opening(seed=seed))) for seed in range(20)]
    answers = [session.order(reset) for reset in resets for session, _ in flooding]
    seen = len(other.chunks)
    queued.set()
    for answer in answers:
        answer.result(60)
    assert len(other.chunks) - seen >= len(answers) / 4 - 2, "a quarter of the chunks, one for each reset"


def test_a_flood_of_orders_does_not_hold_up_the_others(host_of, toy_config, watched, done):
    host = host_of(toy_config)
    (flooding, watching), (_, other) = watched(host), watched(host)
    for watcher in (watching, other):
        watcher.until(lambda self: self.chunks)
    seen = len(other.chunks)
    answers = [flooding.order(Reset(host.beginning(Opening(seed=seed)))) for seed in range(200)]
    refused = [answer for answer in answers if answer.done() and answer.exception()]
    assert refused, "so many orders do not wait"
    assert {answer.exception().code for answer in refused} == {"too_many_orders"}
    carried_out = [answer for answer in answers if answer not in refused]
    for answer in carried_out:
        answer.result(60)
    assert len(other.chunks) > seen, "chunks are made between orders"
    done(flooding, Close())
