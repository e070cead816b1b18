from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from flashdreams_serve.host.turns import Turns

PERIOD = 0.06
COSTS = st.lists(st.floats(0.001, 0.2), min_size=1, max_size=8)


def drive(turns, cost, until, now=0.0, served=None):
    """Take turns on a virtual clock, chunks as long as ``cost`` says: who was served when, and the time."""
    served = [] if served is None else served
    while now < until:
        due = turns.due(now)
        if due:
            turns.take(due[0], now)
            served.append((now, due[0]))
            now += cost(due[0])
        else:
            now = max(now, turns.next_due() if turns.next_due() is not None else until)
    return served, now


def count(served, key):
    return sum(each == key for _, each in served)


@given(clients=st.integers(1, 6), costs=COSTS)
def test_shares_are_equal_within_one_chunk_while_all_are_due(clients, costs):
    turns = Turns(PERIOD)
    for key in range(clients):
        turns.join(key, 0.0)
    chunk = iter(costs * 1000)
    overload = PERIOD / clients + 0.001
    served, _ = drive(turns, lambda key: max(next(chunk), overload), 6.0)
    for end in range(1, len(served) + 1):
        counts = [count(served[:end], key) for key in range(clients)]
        assert max(counts) - min(counts) <= 1


@given(clients=st.integers(1, 6), share=st.floats(0.05, 0.9))
def test_with_time_to_spare_everybody_has_the_pace_of_the_video(clients, share):
    turns = Turns(PERIOD)
    for key in range(clients):
        turns.join(key, 0.0)
    served, _ = drive(turns, lambda key: share * PERIOD / clients, 100 * PERIOD - 1e-6)
    for key in range(clients):
        assert abs(count(served, key) - 100) <= 1


@given(early=st.integers(1, 400), cost=st.floats(0.04, 0.2))
def test_a_newcomer_neither_starves_nor_gets_ahead(early, cost):
    turns = Turns(PERIOD)
    turns.join("old", 0.0)
    served, now = drive(turns, lambda key: cost, early * cost)
    turns.join("new", now)
    served, _ = drive(turns, lambda key: cost, now + 40 * cost, now)
    assert abs(count(served, "old") - count(served, "new")) <= 2


@given(away=st.floats(0.0, 50.0), cost=st.floats(0.04, 0.2))
def test_whoever_comes_back_is_on_a_level_with_the_others(away, cost):
    turns = Turns(PERIOD)
    turns.join("a", 0.0)
    turns.join("b", 0.0)
    served, now = drive(turns, lambda key: cost, 20 * cost)
    turns.pause("a")
    served, now = drive(turns, lambda key: cost, now + away, now)
    turns.join("a", now)
    served, _ = drive(turns, lambda key: cost, now + 40 * cost, now)
    assert abs(count(served, "a") - count(served, "b")) <= 2


@given(cost=st.floats(0.04, 0.2))
def test_pausing_again_and_again_wins_nothing(cost):
    turns = Turns(PERIOD)
    turns.join("honest", 0.0)
    turns.join("sly", 0.0)
    served, now = [], 0.0
    while now < 60 * cost:
        turns.pause("sly")
        turns.join("sly", now)
        served, now = drive(turns, lambda key: cost, now + cost / 2, now, served)
    assert count(served, "sly") <= count(served, "honest") + 2


def test_who_is_late_makes_up_for_one_chunk_and_no_more():
    turns = Turns(1.0)
    turns.join("a", 0.0)
    assert turns.take("a", 0.0) is False
    assert turns.due_at("a") == 1.0
    assert turns.take("a", 1.9) is False, "less than one chunk late"
    assert turns.due_at("a") == 2.0
    assert turns.take("a", 9.0) is True
    assert turns.due_at("a") == 9.0, "one more chunk at once"
    assert turns.take("a", 9.0) is False
    assert turns.due_at("a") == 10.0, "and then at its pace"


def test_nobody_is_due_before_their_time():
    turns = Turns(1.0)
    turns.join("a", 5.0)
    assert turns.due(4.9) == []
    assert turns.due(5.0) == ["a"]
    turns.take("a", 5.0)
    assert turns.due(5.9) == []
    turns.pause("a")
    turns.join("a", 5.1)
    assert turns.due_at("a") == 6.0, "pausing does not bring the next chunk forward"


def test_what_is_not_paced_is_due_at_once_again():
    turns = Turns(1.0)
    turns.join("a", 0.0)
    turns.pace("a", is_paced=False)
    assert turns.take("a", 3.0) is False
    assert turns.due(3.0) == ["a"]


def test_nobody_takes_turns_where_nobody_is():
    turns = Turns(1.0)
    assert turns.next_due() is None
    turns.join("a", 0.0)
    turns.leave("a")
    assert turns.due(10.0) == []
    assert "a" not in turns


def test_a_short_chunk_is_followed_sooner():
    turns = Turns(1.0)
    turns.join("a", 0.0)
    turns.take("a", 0.0)
    turns.shown_for("a", 0.75)
    assert turns.due_at("a") == 0.75
    turns.take("a", 0.75)
    turns.shown_for("a", 1.0)
    assert turns.due_at("a") == 1.75
    turns.shown_for("nobody", 0.5)
