"""The warning where a machine is too slow for its sessions."""

import logging

import numpy as np
import pytest

from flashdreams_serve.host.events import ShownChunk
from flashdreams_serve.host.observing import HostObserver
from flashdreams_serve.host.pace import Pace

FPS = 20.0


class Count(HostObserver):
    chunks = 0

    def chunk_made(self, made, missed):
        self.chunks += 1


def chunk(made_at):
    return ShownChunk(
        **dict.fromkeys(("chunk", "first_frame", "epoch", "seq"), 0),
        **dict.fromkeys(("sent_at", "received_at")),
        **dict.fromkeys(("due_at", "began_at", "made_at"), made_at),
        frames=np.zeros((1, 2, 2, 3), np.uint8),
        fps=FPS,
        path="eager",
    )


def serve(pace, *, sessions, rate, missed, seconds=30.0):
    """So many frames a second are made for all sessions together, and each ``missed``-th of them is late."""
    pace.slots(sessions, 4, 0)
    for number in range(int(seconds * rate)):
        pace.chunk_made(chunk(number / rate), missed and number % missed == 0)


def test_too_many_sessions_for_a_machine_are_told_once(caplog):
    count = Count()
    serve(Pace(count), sessions=4, rate=40.0, missed=3)
    (text,) = caplog.messages
    assert text.startswith("4 sessions get 10.0 frames a second of 20.0 each here")
    assert "--sessions 2" in text
    assert caplog.records[0].levelno == logging.WARNING
    assert count.chunks == 1200


@pytest.mark.parametrize(
    ("sessions", "rate", "missed"),
    [(4, 80.0, 10), (4, 20.0, 0), (4, 40.0, 50)],
    ids=["all frames in spite of late chunks", "three of four pause", "two of four pause"],
)
def test_what_is_no_want_of_speed_is_not_told(sessions, rate, missed, caplog):
    serve(Pace(None), sessions=sessions, rate=rate, missed=missed)
    assert caplog.messages == []


def test_a_short_while_is_not_told(caplog):
    pace = Pace(None)
    serve(pace, sessions=4, rate=40.0, missed=3, seconds=9.0)
    serve(pace, sessions=3, rate=40.0, missed=3, seconds=9.0)
    assert caplog.messages == []


def test_a_single_session_is_not_told_to_be_fewer(caplog):
    serve(Pace(None), sessions=1, rate=10.0, missed=2)
    (text,) = caplog.messages
    assert "too slow" in text
    assert "--sessions" not in text
