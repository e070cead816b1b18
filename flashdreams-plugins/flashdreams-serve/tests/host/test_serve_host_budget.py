from __future__ import annotations

import pytest

from flashdreams.errors import DeviceMemoryError
from flashdreams.plan import planner
from flashdreams_serve.host.budget import Budget, sessions_that_fit, snapshot_room
from flashdreams_serve.settings import Limits, ServeSettings

FOUR = ServeSettings(limits=Limits(sessions=4, snapshot_bytes=0))


def test_sessions_are_as_many_as_fit():
    budget = Budget(room=1000, one=400, more=250)
    assert [budget.sessions(wanted) for wanted in (1, 2, 3, 4, 9)] == [1, 2, 3, 3, 3]
    assert Budget(room=100, one=400, more=250).sessions(4) == 1
    assert Budget(room=1000, one=400, more=0).sessions(4) == 4


def test_a_small_model_is_not_planned(toy_config, monkeypatch):
    def plan_of(*args, **kwargs):
        raise AssertionError("a plan takes time that nobody needs to wait")

    monkeypatch.setattr(planner, "plan_of", plan_of)
    assert sessions_that_fit(toy_config, FOUR, room=2**34) == 4


def test_memory_for_less_gives_fewer_slots(toy_config):
    plan = planner.plan_of(toy_config, memory_only=True)
    slot = plan.memory.kv_cache + plan.memory.context + plan.memory.noise + plan.memory.states
    needed = plan.needed_on("cpu")
    more = slot + plan.memory.pixels
    assert more > 0
    rooms = [needed + more // 2, needed + more, needed + 2 * more + more // 2, needed + 9 * more]
    assert [sessions_that_fit(toy_config, FOUR, room=room) for room in rooms] == [1, 2, 3, 4]


def test_on_a_cpu_snapshots_are_left_their_room(toy_config):
    """Slots and snapshots share its memory; one session begins all the same."""
    plan = planner.plan_of(toy_config, memory_only=True)
    slot = plan.memory.kv_cache + plan.memory.context + plan.memory.noise + plan.memory.states
    room = plan.needed_on("cpu") + 3 * (slot + plan.memory.pixels)

    def sessions(**limits):
        return sessions_that_fit(toy_config, ServeSettings(limits=Limits(sessions=4, **limits)), room=room)

    assert (sessions(snapshot_bytes=0), sessions(snapshot_bytes=slot)) == (4, 3)
    assert sessions() == sessions(snapshot_bytes=room // 4) < 4
    assert sessions(snapshot_bytes=room) == 1


def test_snapshots_may_take_a_quarter_of_what_is_free():
    assert snapshot_room(Limits(), 2**34) == 2**32
    assert snapshot_room(Limits(), None) == 2**31
    assert snapshot_room(Limits(snapshot_bytes=5), 2**34) == 5


def test_batches_take_memory_too(toy_config):
    plan = planner.plan_of(toy_config, memory_only=True)
    slot = plan.memory.kv_cache + plan.memory.context + plan.memory.noise + plan.memory.states
    room = plan.needed_on("cpu") + 4 * (slot + plan.memory.pixels)
    batched = ServeSettings(batch=True, limits=FOUR.limits)
    assert sessions_that_fit(toy_config, FOUR, room=room) == 4
    assert sessions_that_fit(toy_config, batched, room=room) < 4


def test_what_does_not_fit_at_all_is_refused_with_a_remedy(toy_config):
    with pytest.raises(DeviceMemoryError, match="needs"):
        sessions_that_fit(toy_config, FOUR, room=2**12)


def test_a_smaller_budget_sends_the_last_comers_back_to_the_queue(toy_config, watched, monkeypatch):
    from flashdreams_serve.host import host as hosting

    monkeypatch.setattr(hosting, "sessions_that_fit", lambda config, settings: 1)
    host = hosting.Host(toy_config, FOUR)
    (first, _), (second, watching), (third, _) = watched(host), watched(host), watched(host)
    assert {session.view().state for session in (first, second, third)} == {"opening"}
    host.start()
    assert host.wait_ready(60)
    assert host.sessions_limit == 1
    assert [session.view().position for session in (first, second, third)] == [0, 1, 2]
    assert watching.standings[-1].state == "queued"
    host.stop()
