from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from flashdreams_serve.host.admission import Admission
from flashdreams_serve.host.errors import OrderRefusedError, QueueFullError, TooManySessionsError
from flashdreams_serve.settings import Limits

ACTIONS = st.lists(st.tuples(st.sampled_from(["admit", "now", "leave"]), st.integers(0, 9)), max_size=60)


@given(actions=ACTIONS)
def test_places_and_queue_are_as_full_as_they_may_be_and_keep_their_order(actions):
    admission: Admission[int] = Admission(Limits(sessions=2, queue=3, sessions_per_client=4))
    here: dict[int, str] = {}
    for number, (action, value) in enumerate(actions):
        client = f"client {value % 2}"
        before = admission.waiting
        try:
            if action == "admit":
                admission.admit(number, client)
                here[number] = client
            elif action == "now":
                admission.admit_now(number, client)
                here[number] = client
                assert admission.position(number) == 0
        except QueueFullError:
            assert len(before) == 3
        except TooManySessionsError:
            assert [*here.values()].count(client) == 4
        except OrderRefusedError:
            assert admission.used == admission.limit or before
        if action == "leave" and here:
            key = sorted(here)[value % len(here)]
            del here[key]
            moved = admission.leave(key)
            assert moved == [each for each in before if each != key][: len(moved)], "first come, first served"
            assert not set(moved) & set(admission.waiting)
        assert admission.used + len(admission.waiting) == len(here)
        assert admission.used <= admission.limit
        assert len(admission.waiting) <= 3
        assert not admission.waiting or admission.used == admission.limit, "nobody waits before a free place"
        assert [admission.position(key) for key in admission.waiting] == [
            *range(1, len(admission.waiting) + 1)
        ]


def test_a_smaller_limit_sends_the_last_ones_back_to_the_head_of_the_queue():
    admission: Admission[str] = Admission(Limits(sessions=3, queue=4))
    for key in "abcd":
        admission.admit(key, "client")
    assert admission.set_limit(1, frozenset("b")) == ["c", "a"]
    assert admission.waiting == ("a", "c", "d")
    assert admission.position("b") == 0
    assert admission.leave("b") == ["a"]
