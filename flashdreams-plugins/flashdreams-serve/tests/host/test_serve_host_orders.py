"""Sessions of a real host: paused, reset, kept, gone back to, forked, saved, closed."""

from __future__ import annotations

import pytest

from flashdreams.errors import InputError
from flashdreams_serve.host.errors import OrderRefusedError
from flashdreams_serve.host.orders import (
    Close,
    Control,
    Fork,
    GiveLog,
    Keep,
    Opening,
    Pause,
    Reset,
    Resume,
    Return,
    Save,
)

PUSHES = (0.0, 1.0, 1.0, -2.0, 0.5, 0.0, 3.0, -1.0)


def test_pausing_makes_no_chunk_and_changes_none(ready, clock, toy_config, done, drive, by_hand, pushes):
    host, session, watcher = ready
    drive(clock, host, session, watcher, pushes[:3])
    assert done(session, Pause()) == {}
    clock.now += 100 * host.card.chunk_seconds
    done(session, GiveLog())
    assert len(watcher.chunks) == 4
    assert session.view().state == "paused"
    session.control(Control(seq=50, values={"push": pushes[3]}))
    done(session, Resume())
    watcher.until(lambda self: len(self.chunks) == 5)
    assert watcher.frames == by_hand(toy_config, (0.0, *pushes[:4]))
    assert session.view().missed == 0


def test_nobody_dreams_unwatched(ready, clock, new_watcher, done):
    host, session, watcher = ready
    session.detach(watcher)
    assert session.standing.state == "detached"
    clock.now += 5 * host.card.chunk_seconds
    done(session, GiveLog())
    assert session.view().chunks == 1
    again = new_watcher()
    session.attach(again)
    again.until(lambda self: self.chunks)
    assert again.chunks[0].chunk == 1
    assert again.standings[0].state in ("detached", "live")
    assert again.standings[-1].state == "live"


def test_reset_begins_another_rollout_in_the_same_session(
    ready, clock, toy_config, done, step, drive, by_hand, pushes
):
    host, session, watcher = ready
    drive(clock, host, session, watcher, pushes[:3])
    epoch = watcher.chunks[-1].epoch
    assert done(session, Reset(host.beginning(Opening(seed=5)))) == {"seed": 5}
    assert watcher.dropped[-1] > epoch
    step(clock, host, watcher)
    assert watcher.chunks[-1].chunk == 0
    assert watcher.chunks[-1].first_frame == 8
    assert watcher.chunks[-1].epoch == watcher.dropped[-1]
    assert watcher.frames[-1:] == by_hand(toy_config, (0.0,), seed=5)
    assert session.seed == 5
    assert done(session, GiveLog())["log"]["controls"] == []


def test_a_reset_that_cannot_be_is_refused_and_the_session_goes_on(
    ready, clock, toy_config, done, refusal, step, by_hand
):
    host, session, watcher = ready
    for opening in (Opening(start="moon"), Opening(prompt="x" * 300), Opening(seed=-1), Opening(log={})):
        with pytest.raises(InputError):
            host.beginning(opening)
    unloved = Reset(host.beginning(Opening(prompt="refused")))
    assert refusal(session, unloved) == "bad_opening"
    with pytest.raises(OrderRefusedError) as caught:
        done(session, unloved)
    assert "/secret" not in str(caught.value), "the model's own words are not for clients"
    step(clock, host, watcher)
    assert watcher.chunks[-1].chunk == 0
    assert watcher.frames[-1:] == by_hand(toy_config, (0.0,))


def test_a_snapshot_is_gone_back_to_and_the_log_with_it(
    ready, clock, toy_config, done, drive, by_hand, pushes
):
    host, session, watcher = ready
    drive(clock, host, session, watcher, pushes[:3])
    assert done(session, Keep("here")) == {"name": "here", "chunk": 4}
    drive(clock, host, session, watcher, pushes[3:5], first_seq=10)
    later = done(session, GiveLog())["log"]
    done(session, Keep("there"))
    assert done(session, Return("here")) == {"chunk": 4, "seed": 1}
    assert done(session, GiveLog())["log"]["chunks"] == 4
    drive(clock, host, session, watcher, (3.0,), first_seq=20)
    assert watcher.frames[-1] == by_hand(toy_config, (0.0, *pushes[:3], 3.0))[-1]
    done(session, Reset(host.beginning(Opening(seed=9))))
    done(session, Return("there"))
    assert done(session, GiveLog())["log"] == later
    assert session.seed == 1
    drive(clock, host, session, watcher, (1.5,), first_seq=30)
    assert watcher.frames[-1] == by_hand(toy_config, (0.0, *pushes[:5], 1.5))[-1]


def test_snapshots_are_counted(host_of, toy_config, watched, done, refusal):
    session, watcher = watched(host_of(toy_config, snapshots=2))
    watcher.until(lambda self: self.chunks)
    done(session, Keep("a"))
    done(session, Keep("b"))
    assert refusal(session, Keep("c")) == "too_many_snapshots"
    done(session, Keep("a"))
    assert refusal(session, Return("c")) == "no_such_snapshot"
    assert refusal(session, Keep("")) == "bad_name"
    assert refusal(session, Keep("x" * 1000)) == "bad_name"


def test_a_fork_has_seen_the_same_and_goes_its_own_way(
    ready, clock, toy_config, new_watcher, done, step, drive, by_hand, pushes
):
    host, session, watcher = ready
    drive(clock, host, session, watcher, pushes[:3])
    second = host.session(done(session, Fork())["session"])
    assert (second.standing.state, second.seed, second.client) == ("detached", 1, session.client)
    assert second.id != session.id
    watching = new_watcher()
    second.attach(watching)
    watching.until(lambda self: self.chunks)
    second.control(Control(seq=1, values={"push": 2.5}))
    session.control(Control(seq=50, values={"push": -1.0}))
    step(clock, host, watching, watcher)
    assert watching.chunks[0].chunk == 4
    held = pushes[2]
    assert watching.frames == by_hand(toy_config, (0.0, *pushes[:3], held, 2.5))[-2:]
    assert watcher.frames[-1] == by_hand(toy_config, (0.0, *pushes[:3], -1.0))[-1]
    assert done(second, GiveLog())["log"]["chunks"] == 6


def test_a_fork_needs_a_free_slot(host_of, toy_config, watched, refusal):
    host = host_of(toy_config, sessions=2, queue=2)
    (session, watcher), _ = watched(host), watched(host)
    watcher.until(lambda self: self.chunks)
    assert refusal(session, Fork()) == "no_free_slot"
    assert session.view().state == "live"


def test_a_fork_counts_as_a_session_of_the_client(host_of, toy_config, watched, refusal):
    session, watcher = watched(host_of(toy_config, sessions_per_client=1))
    watcher.until(lambda self: self.chunks)
    assert refusal(session, Fork()) == "too_many_sessions"


def test_orders_of_an_ended_session_are_refused(host_of, toy_config, watched, done, refusal):
    session, watcher = watched(host_of(toy_config))
    watcher.until(lambda self: self.chunks)
    done(session, Close())
    assert refusal(session, Pause()) == "session_ended"
    assert refusal(session, Close()) == "session_ended"
    session.control(Control(seq=1, values={"push": 1.0}))
    session.heard()


def test_what_is_recorded_is_saved(host_of, toy_config, watched, done, tape):
    tapes = {}

    def recorder(session_id):
        return tapes.setdefault(session_id, tape())

    session, watcher = watched(host_of(toy_config, recorder=recorder))
    watcher.until(lambda self: len(self.chunks) > 2)
    session.control(Control(seq=1, values={"push": 2.0}))
    watcher.until(lambda self: self.receipts)
    done(session, Pause())
    assert done(session, Save(2.0)) == {"video": "a.mp4", "seconds": 2.0, "bytes": 100}
    assert tapes[session.id].logs == [done(session, GiveLog())["log"]]
    assert [values for _, values in tapes[session.id].logs[0]["controls"]] == [{"push": 2.0}]
    with pytest.raises(OrderRefusedError) as caught:
        done(session, Save(200.0))
    assert caught.value.code == "not_saved"
    assert "secret" not in str(caught.value)
    tape = tapes[session.id]
    assert tape.chunks > 2
    assert session.view().viewers == 1, "a recorder is no viewer"
    done(session, Close())
    assert watcher.until_state("ended").standings[-1].detail is None
    assert tape.is_closed


def test_without_a_recorder_nothing_is_saved(host_of, toy_config, watched, refusal):
    session, watcher = watched(host_of(toy_config))
    watcher.until(lambda self: self.chunks)
    assert refusal(session, Save(1.0)) == "not_recorded"
