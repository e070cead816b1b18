"""Failures at every step of a session, and what they leave alone."""

from __future__ import annotations

import logging

import pytest
import torch

from flashdreams.errors import WeightsFileError
from flashdreams.infra.pipeline.slots import Slot
from flashdreams_serve.host.errors import NotReadyError, OrderRefusedError
from flashdreams_serve.host.host import Host
from flashdreams_serve.host.orders import Close, Control, Fork, Keep, Opening, Pause, Reset, Resume, Return
from flashdreams_serve.settings import ServeSettings

STEPS = [
    ("steered", 1),
    ("flow", 1),
    ("flow", 2),  # the second denoising step
    ("flow", 3),  # finalize: the pass that writes the context
    ("decode", 1),
    ("showing", 1),
]


class Film:
    def __init__(self):
        self.chunks = 0

    def show(self, chunk):
        self.chunks += 1

    def drop(self, before_epoch):
        pass

    def tell(self, event):
        pass

    def save_at_end(self, control_log):
        from flashdreams_serve.host.recording import Saved

        return Saved(f"{self.chunks}.mp4", 1.0, 1)

    def close(self):
        pass


def done(session, order):
    return session.order(order).result(60)


@pytest.mark.parametrize(("place", "call"), STEPS)
def test_a_failure_ends_that_session_and_leaves_its_video_and_all_others(
    host_of, toy_config, watched, faults, caplog, clock, place, call
):
    host = host_of(toy_config, recorder=lambda session_id: Film(), clock=clock, sessions=2)
    _, watching_doomed = watched(host)
    other, watching_other = watched(host)
    for watcher in (watching_doomed, watching_other):
        watcher.until(lambda self: self.chunks)
    done(other, Pause())
    caplog.set_level(logging.ERROR)
    faults.arm(place, call=call)
    clock.now += host.card.chunk_seconds
    standing = watching_doomed.until_state("ended").standings[-1]
    assert (standing.reason, {*standing.detail}) == ("failed", {"reference", "video"})
    shown = len(watching_doomed.chunks)
    assert standing.detail["video"] == f"{shown}.mp4"
    assert shown == (2 if (place, call) == ("flow", 3) else 1)
    assert standing.detail["reference"] in caplog.text, "operators find it"
    assert "/secret" in caplog.text
    assert "/secret" not in str(standing)
    done(other, Resume())
    clock.now += host.card.chunk_seconds
    watching_other.until(lambda self: len(self.chunks) >= 2)
    third, watching_third = watched(host)
    watching_third.until(lambda self: self.chunks)
    clock.now += host.card.chunk_seconds
    watching_other.until(lambda self: len(self.chunks) >= 3)
    watching_third.until(lambda self: len(self.chunks) >= 2)
    assert watching_third.frames == watching_other.frames[:2], (
        "the slot that was given back is as good as new"
    )
    assert host.phase == "ready"
    assert third.view().state == "live"


def test_a_rollout_that_cannot_begin_ends_its_session_alone(host_of, toy_config, watched, faults):
    host = host_of(toy_config, sessions=1)
    assert host.wait_ready(60)
    faults.arm("initialize")
    _, watching_doomed = watched(host)
    _, watching_next = watched(host)
    assert watching_doomed.until_state("ended").standings[-1].reason == "failed"
    watching_next.until(lambda self: self.chunks)


def test_a_prompt_that_the_model_refuses_ends_the_session_without_its_words(host_of, toy_config, watched):
    host = host_of(toy_config)
    for _ in range(4):
        _, watcher = watched(host, Opening(prompt="refused"))
        standing = watcher.until_state("ended").standings[-1]
        assert standing.reason == "failed"
        assert "secret" not in str(standing)
    assert host.phase == "ready", "it is the client's mistake, and not the host's"


@pytest.mark.parametrize("error", [torch.OutOfMemoryError, MemoryError])
def test_want_of_memory_is_named(host_of, toy_config, watched, faults, error):
    host = host_of(toy_config)
    _, watcher = watched(host)
    watcher.until(lambda self: self.chunks)
    faults.arm("flow", error=lambda: error("tried to allocate much"))
    assert watcher.until_state("ended").standings[-1].reason == "no_memory"


def test_a_thread_that_ends_by_itself_is_noticed(host_of, toy_config, watched, faults):
    host = host_of(toy_config)
    _, watcher = watched(host)
    watcher.until(lambda self: self.chunks)
    faults.arm("flow", error=lambda: SystemExit("gone"))
    host.wait_stopped()
    assert (host.phase, type(host.failure)) == ("failed", SystemExit)
    assert watcher.until_state("ended").standings[-1].reason == "failed"
    assert host.stop()


@pytest.mark.parametrize("kind", [Reset, Fork, Return])
def test_an_order_that_fails_ends_its_session_alone(host_of, toy_config, watched, faults, monkeypatch, kind):
    host = host_of(toy_config)
    session, watcher = watched(host)
    _, other = watched(host)
    for each in (watcher, other):
        each.until(lambda self: self.chunks)
    done(session, Keep("a"))

    def badly(*given):
        raise RuntimeError("broken")

    if kind is Reset:
        order = Reset(host.beginning(Opening(seed=3)))
        faults.arm("initialize")
    elif kind is Fork:
        order = Fork()
        monkeypatch.setattr(Slot, "take", badly)
    else:
        order = Return("a")
        monkeypatch.setattr(host.runner.pipeline, "restore", badly)
    with pytest.raises(OrderRefusedError) as caught:
        done(session, order)
    assert caught.value.code == "failed"
    assert watcher.until_state("ended").standings[-1].reason == "failed"
    seen = len(other.chunks)
    other.until(lambda self: len(self.chunks) > seen + 1)
    assert len(host.sessions()) == 1


def test_an_order_after_an_end_is_answered(host_of, toy_config, watched, faults):
    host = host_of(toy_config)
    session, watcher = watched(host)
    watcher.until(lambda self: self.chunks)
    faults.arm("flow")
    answers = [session.order(Keep(str(number))) for number in range(40)]
    watcher.until_state("ended")
    for answer in answers:
        assert answer.exception(60) is None or answer.exception().code in (
            "session_ended",
            "too_many_snapshots",
        )


def test_after_three_failures_nothing_begins_until_a_trial_works(
    host_of, toy_config, watched, faults, clock, eventually, caplog
):
    caplog.set_level(logging.ERROR)
    host = host_of(toy_config, clock=clock, sessions=1)
    assert host.wait_ready(60)
    faults.arm("initialize", times=4)
    for _ in range(3):
        _, watcher = watched(host)
        watcher.until_state("ended")
    eventually(lambda: host.phase == "failed")
    with pytest.raises(NotReadyError):
        host.open(Opening(), "somebody")
    clock.now += 2.1
    eventually(lambda: "tried out" in caplog.text)
    assert host.phase == "failed", "the trial has failed too"
    clock.now += 4.1
    eventually(lambda: host.phase == "ready")
    _, watcher = watched(host)
    watcher.until(lambda self: self.chunks)


def test_a_good_chunk_between_failures_keeps_the_host_ready(host_of, toy_config, watched, faults):
    host = host_of(toy_config)
    for _ in range(5):
        _, watcher = watched(host)
        watcher.until(lambda self: self.chunks)
        faults.arm("decode")
        watcher.until_state("ended")
    assert host.phase == "ready"


def test_a_model_that_cannot_be_loaded_fails_the_host_and_ends_who_waits(host_of, toy_config, watched):
    toy_config.pipeline.diffusion_model.transformer._target = _Unloadable
    host = host_of(toy_config)
    try:
        _, watcher = watched(host)
    except NotReadyError:
        watcher = None
    assert not host.wait_ready(60)
    assert host.phase == "failed"
    assert isinstance(host.failure, WeightsFileError)
    if watcher is not None:
        assert watcher.until_state("ended").standings[-1].reason == "failed"
    with pytest.raises(NotReadyError):
        host.open(Opening(), "somebody")


def test_who_opens_a_session_while_loading_fails_is_told_so(toy_config, monkeypatch):
    toy_config.pipeline.diffusion_model.transformer._target = _Unloadable
    host = Host(toy_config, ServeSettings())
    read = host.beginning

    def read_while_loading_fails(opening):
        host.start()
        host.wait_stopped()
        return read(opening)

    monkeypatch.setattr(host, "beginning", read_while_loading_fails)
    with pytest.raises(NotReadyError):
        host.open(Opening(), "somebody")
    assert host.stop()


class _Unloadable:
    def __init__(self, config):
        raise WeightsFileError("They are not there.", "They would be.", "Fetch them.")


def test_a_flood_of_controls_costs_no_memory(host_of, toy_config, watched, clock):
    host = host_of(toy_config, clock=clock)
    session, watcher = watched(host)
    watcher.until(lambda self: self.chunks)
    for seq in range(1, 20001):
        session.control(Control(seq=seq, values={"push": seq % 4, "say": "x" * 40}))
    assert len(session.inbox.take()[0].values) == 1
    done(session, Close())
