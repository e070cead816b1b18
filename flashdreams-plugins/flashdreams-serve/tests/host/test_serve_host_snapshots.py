"""Snapshots of all sessions take no more memory of the host than they may, and forks take none."""

from __future__ import annotations

import pytest

from flashdreams.infra.pipeline.rollout import Rollout
from flashdreams.io.memory import binary
from flashdreams_serve.host.errors import OrderRefusedError
from flashdreams_serve.host.orders import Close, Fork, Keep, Opening, Reset, Return
from flashdreams_serve.host.snapshots import Snapshots

FULL = 3
"""Chunks after which the window of the toy is full, and a snapshot of it takes no more than before."""


@pytest.fixture
def one(toy_config) -> int:
    """Bytes of a snapshot with a full window."""
    pipeline = toy_config.pipeline.setup()
    with pipeline.initialize_cache() as rollout:
        list(pipeline.stream(rollout, [0.0] * FULL))
        return rollout.snapshot_bytes()


@pytest.fixture
def held(monkeypatch):
    """Bytes that the host holds for snapshots."""
    made = []

    class Known(Snapshots):
        def __init__(self, *about):
            super().__init__(*about)
            made.append(self)

    monkeypatch.setattr("flashdreams_serve.host.host.Snapshots", Known)
    return lambda: made[0].bytes


@pytest.fixture
def dreaming(host_of, toy_config, clock, watched, step, held):
    """Starts a host, and opens sessions whose windows are full."""

    def begun(count: int, **limits):
        host = host_of(toy_config, clock=clock, **limits)
        pairs = [watched(host, Opening(seed=seed)) for seed in range(count)]
        for _, watcher in pairs:
            watcher.until(lambda self: self.chunks)
        for _ in range(FULL):
            step(clock, host, *(watcher for _, watcher in pairs))
        return host, *(session for session, _ in pairs)

    return begun


@pytest.fixture
def refused():
    """The error with which an order is refused for want of room."""

    def error_of(session, order) -> OrderRefusedError:
        error = session.order(order).exception(60)
        assert isinstance(error, OrderRefusedError)
        assert error.code == "snapshots_full"
        return error

    return error_of


def test_snapshots_of_all_sessions_share_one_room(dreaming, done, refused, one, held):
    _, first, second = dreaming(2, snapshot_bytes=3 * one + one // 2)
    for name in "ab":
        done(first, Keep(name))
    done(second, Keep("a"))
    assert held() == 3 * one
    error = refused(second, Keep("b"))
    assert (error.what, error.right) == (
        f"A snapshot takes {binary(one)}; of the server's memory {binary(one // 2)} are left for it.",
        f"Those of all sessions take at most {binary(3 * one + one // 2)} together.",
    )
    assert error.next == "Take it under the name of one that is no longer needed."
    assert held() == 3 * one
    assert done(second, Return("a"))["chunk"] == FULL + 1, "what is kept stays"


def test_one_in_the_place_of_another_needs_no_more_room(dreaming, done, refused, one, monkeypatch, held):
    _, first, second = dreaming(2, snapshot_bytes=2 * one)
    for session in (first, second):
        done(session, Keep("a"))
    assert refused(first, Keep("b")).next == "Take it under the name of one that is no longer needed."
    take, before = Rollout.snapshot, []

    def taken(rollout):
        before.append(held())
        return take(rollout)

    monkeypatch.setattr(Rollout, "snapshot", taken)
    done(first, Keep("a"))
    assert before == [one], "the old one has gone before the new one is made"
    assert held() == 2 * one


def test_whoever_ends_gives_its_room_back(dreaming, done, refused, one, eventually, held):
    _, first, second = dreaming(2, snapshot_bytes=one)
    done(first, Keep("a"))
    assert refused(second, Keep("a")).next == "Try again once another session has ended."
    done(first, Close())
    eventually(lambda: held() == 0)
    done(second, Keep("a"))
    assert held() == one


def test_a_session_that_fails_gives_its_room_back(dreaming, done, faults, clock, one, eventually, held):
    host, session = dreaming(1, snapshot_bytes=one)
    done(session, Keep("a"))
    faults.arm("flow")
    clock.now += host.card.chunk_seconds
    eventually(lambda: held() == 0)


def test_a_server_may_keep_none(dreaming, refused):
    _, session = dreaming(1, snapshot_bytes=0)
    error = refused(session, Keep("a"))
    assert error.what == "This server keeps no snapshots."
    assert "--snapshot-memory" in error.next
    assert session.view().state == "live"


def test_where_no_snapshot_has_room_the_limit_is_told(dreaming, refused, one, held):
    _, session = dreaming(1, snapshot_bytes=100)
    error = refused(session, Keep("a"))
    assert binary(one) in error.what
    assert binary(100) in error.right
    assert "Go on without" in error.next
    assert held() == 0
    assert session.view().state == "live"


def test_a_fork_takes_no_room(dreaming, done, monkeypatch, held):
    monkeypatch.setattr(Rollout, "snapshot", None)
    host, session = dreaming(1, snapshot_bytes=0)
    assert host.session(done(session, Fork())["session"]).view().seed == session.seed
    assert held() == 0


def test_what_a_session_keeps_outlives_its_rollouts(dreaming, done, one, held):
    host, session = dreaming(1, snapshot_bytes=one)
    done(session, Keep("a"))
    done(session, Reset(host.beginning(Opening(seed=9))))
    assert held() == one
    assert done(session, Return("a")) == {"chunk": FULL + 1, "seed": 0}


def test_a_name_is_as_long_as_the_protocol_says(dreaming, done, refusal):
    _, session = dreaming(1)
    assert done(session, Keep("x" * 64))["name"] == "x" * 64
    assert refusal(session, Keep("x" * 65)) == "bad_name"
