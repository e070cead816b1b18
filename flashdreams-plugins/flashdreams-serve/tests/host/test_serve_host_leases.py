"""Sessions whose clients are gone, on a clock that is turned by hand."""

from __future__ import annotations

import pytest

from flashdreams_serve.host.orders import Close, GiveLog, Opening
from flashdreams_serve.host.session import AWAY_SECONDS


def settled(host, watched_session):
    """The thread that computes has looked at everybody since."""
    watched_session.order(GiveLog()).result(60)
    watched_session.order(GiveLog()).result(60)


@pytest.fixture
def host(host_of, toy_config, clock):
    host = host_of(toy_config, clock=clock, sessions=2, queue=4, idle_seconds=300.0, grace_seconds=30.0)
    assert host.wait_ready(60)
    return host


def test_a_silent_client_is_idle(host, watched, clock, eventually):
    silent, watching = watched(host)
    lively, _ = watched(host)
    watching.until(lambda self: self.chunks)
    for _ in range(29):
        clock.now += 10.0
        lively.heard()
    settled(host, lively)
    assert silent.view().state == "live"
    clock.now += 11.0
    assert watching.until_state("ended").standings[-1].reason == "idle"
    assert lively.view().state == "live"


def test_a_lost_client_has_the_grace_period_to_come_back(host, watched, clock, new_watcher):
    lost, watching = watched(host)
    keeper, _ = watched(host)
    watching.until(lambda self: self.chunks)
    lost.detach(watching)
    clock.now += 29.0
    settled(host, keeper)
    assert lost.view().state == "detached"
    again = new_watcher()
    lost.attach(again)
    clock.now += 100.0
    settled(host, keeper)
    assert lost.view().state == "live"
    lost.detach(again)
    clock.now += 31.0
    last = new_watcher()
    keeper.heard()
    settled(host, keeper)
    lost.attach(last)
    assert last.until_state("ended").standings[-1].reason == "left"


def test_who_goes_on_purpose_is_waited_for_only_a_little(host, watched, clock, new_watcher):
    gone, watching = watched(host)
    keeper, _ = watched(host)
    watching.until(lambda self: self.chunks)
    for seconds, state in ((AWAY_SECONDS - 1, "detached"), (AWAY_SECONDS + 1, "ended")):
        gone.expect_back_soon()
        gone.detach(watching)
        clock.now += seconds
        settled(host, keeper)
        assert gone.view().state == state
        gone.attach(watching := new_watcher())
    assert gone.view().reason == "left"


def test_who_came_back_has_the_grace_period_again(host, watched, clock, new_watcher):
    session, watching = watched(host)
    keeper, _ = watched(host)
    watching.until(lambda self: self.chunks)
    session.expect_back_soon()
    session.attach(again := new_watcher())
    for watcher in (watching, again):
        session.detach(watcher)
    clock.now += AWAY_SECONDS + 1
    settled(host, keeper)
    assert session.view().state == "detached"


def test_who_never_comes_is_let_go(host, clock, eventually):
    session = host.open(Opening(), "somebody")
    eventually(lambda: session.view().state == "detached")
    clock.now += 31.0
    eventually(lambda: session.view().state == "ended")
    assert session.view().reason == "left"
    assert host.session(session.id) is session
    clock.now += 31.0
    assert host.session(session.id) is None, "it is forgotten after a while"


def test_who_waits_unwatched_is_kept_while_somebody_asks(host, watched, clock, eventually):
    keeper, _ = watched(host)
    watched(host)
    asked, forgotten, seen = (host.open(Opening(), "somebody") for _ in range(3))
    assert [session.view().position for session in (asked, forgotten, seen)] == [1, 2, 3]
    for _ in range(4):
        clock.now += 10.0
        asked.heard()
        seen.heard()
        keeper.heard()
    eventually(lambda: forgotten.view().state == "ended")
    assert forgotten.view().reason == "left"
    eventually(lambda: seen.view().position == 2)
    assert asked.view().position == 1


def test_loading_counts_against_nobody(toy_config, host_of, clock, watched):
    from flashdreams_serve.host.host import Host
    from flashdreams_serve.settings import ServeSettings

    host = Host(toy_config, ServeSettings(), clock=clock)
    session = host.open(Opening(), "somebody")
    clock.now += 1000.0
    host.start()
    other, _ = watched(host)
    settled(host, other)
    assert session.view().state == "detached"
    other.order(Close()).result(60)
    host.stop()
