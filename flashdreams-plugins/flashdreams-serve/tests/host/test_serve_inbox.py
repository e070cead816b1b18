"""What chunks obey of the controls that come in between them."""

from hypothesis import given
from hypothesis import strategies as st

from flashdreams_serve.host.inbox import Inbox
from flashdreams_serve.host.orders import Control

REST = {"steer": 0.0, "gas": 0.0}


def inbox_with(*values):
    inbox = Inbox({"prompt"}, REST)
    for seq, each in enumerate(values, start=1):
        assert inbox.put(Control(seq=seq, values=each))
    return inbox


def taken(inbox):
    held, said = inbox.take()
    seq = max(each.last.seq if each.last else 0 for each in (held, said))
    return dict(held.values), dict(said.values), seq


def test_the_last_value_of_a_control_counts():
    inbox = inbox_with({"steer": -1.0}, {"steer": -0.5, "gas": 0.3}, {"prompt": "a"}, {"prompt": "b"})
    assert taken(inbox) == ({"steer": -0.5, "gas": 0.3}, {"prompt": "b"}, 4)
    assert taken(inbox) == ({}, {}, 0)


def test_a_key_that_is_let_go_at_once_is_obeyed_for_one_chunk():
    inbox = inbox_with({"steer": -0.5}, {"steer": 0.0}, {"gas": 0.3})
    assert taken(inbox) == ({"steer": -0.5}, {}, 1)
    assert taken(inbox) == ({"steer": 0.0, "gas": 0.3}, {}, 3)


def test_one_that_was_obeyed_already_is_let_go_at_once():
    inbox = inbox_with({"steer": -0.5})
    assert taken(inbox) == ({"steer": -0.5}, {}, 1)
    inbox.put(Control(seq=2, values={"steer": 0.0}))
    assert taken(inbox) == ({"steer": 0.0}, {}, 2)


def test_letting_go_is_measured_by_what_another_rollout_holds():
    inbox = inbox_with({"steer": -0.5})
    taken(inbox)
    inbox.model_holds(REST)
    inbox.put(Control(seq=2, values={"steer": -0.5}))
    inbox.put(Control(seq=3, values={"steer": 0.0}))
    assert [taken(inbox)[0] for _ in range(2)] == [{"steer": -0.5}, {"steer": 0.0}]


def test_numbers_begin_anew_with_another_connection():
    inbox = inbox_with({"steer": -0.5}, {"steer": 0.0})
    assert not inbox.put(Control(seq=2, values={"steer": 1.0}))
    inbox.begin_anew()
    assert inbox.put(Control(seq=1, values={"gas": 0.3}))
    assert [taken(inbox) for _ in range(2)] == [({"steer": -0.5}, {}, 0), ({"steer": 0.0, "gas": 0.3}, {}, 1)]


@given(st.lists(st.tuples(st.booleans(), st.sampled_from([-0.5, 0.0, 0.5])), max_size=30))
def test_the_model_ends_where_the_hand_does_two_chunks_later(steps):
    """Whatever the order of controls and chunks, and no number is obeyed twice or out of order."""
    inbox, model, seqs, hand = Inbox({"prompt"}, REST), dict(REST), [], 0.0
    for seq, (is_chunk, value) in enumerate(steps, start=1):
        if is_chunk:
            held, _ = inbox.take()
            model.update(held.values)
            seqs += [held.last.seq] if held.last else []
        else:
            hand = value
            inbox.put(Control(seq=seq, values={"steer": value}))
    for _ in range(2):
        held, _ = inbox.take()
        model.update(held.values)
        seqs += [held.last.seq] if held.last else []
    assert model["steer"] == hand
    assert seqs == sorted(set(seqs))
