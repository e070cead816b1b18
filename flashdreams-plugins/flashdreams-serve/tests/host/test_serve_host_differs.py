"""A log that was made otherwise is made again, and whoever asked for that is told what differs."""

from __future__ import annotations

import copy
import json

import pytest

from flashdreams.infra.runner.run_record import versions
from flashdreams_serve.host.card import ModelCard
from flashdreams_serve.host.control_log import ControlLog
from flashdreams_serve.host.events import Standing
from flashdreams_serve.host.host import Host
from flashdreams_serve.host.log_file import Scribe, as_tree, read_log
from flashdreams_serve.host.made_with import changes_since, told_in
from flashdreams_serve.host.orders import Fork, GiveLog, Keep, Opening, Pause, Reset, Return
from flashdreams_serve.settings import ServeSettings

MANY = 4 * 2**20


@pytest.fixture
def log(ready, clock, drive, done):
    """The log of a session of a few chunks."""
    host, session, watcher = ready
    drive(clock, host, session, watcher, (1.0, -2.0))
    done(session, Pause())
    return done(session, GiveLog())["log"]


def made_otherwise(log, **made_with):
    return {**copy.deepcopy(log), "made_with": {**log["made_with"], **made_with}}


def standings_of(config, watched, opening):
    """All that a session is told of how it stands which was opened before the model was loaded."""
    host = Host(config, ServeSettings())
    _, watcher = watched(host, opening)
    host.start()
    watcher.until(lambda self: self.chunks)
    host.stop()
    return [standing for standing in watcher.standings if standing.state != "ended"]


def test_whoever_opens_a_log_is_told_what_differs(toy_config, watched, log):
    opening = Opening(log=made_otherwise(log, threads=7, device="cuda"))
    first, *later = standings_of(toy_config, watched, opening)
    assert first == Standing(state="opening"), "nobody knows before the model is loaded"
    told = {"differs": ["device was 'cuda', and is 'cpu'", "threads was '7', and is '1'"]}
    assert later == [Standing(state=state, detail=told) for state in ("opening", "live")]


def test_another_config_is_told_by_its_fingerprint(toy_config, watched, log):
    config = copy.deepcopy(toy_config)
    config.pipeline.diffusion_model.transformer.window = 8
    (told,) = standings_of(config, watched, Opening(log=log))[-1].detail["differs"]
    assert told.startswith(f"config was '{log['made_with']['config']}', and is '")


def test_nothing_is_told_where_nothing_differs(host_of, toy_config, watched, log):
    host = host_of(toy_config)
    for opening in (Opening(log=log), Opening(seed=4)):
        _, watcher = watched(host, opening)
        watcher.until(lambda self: self.chunks)
        assert {standing.detail is None for standing in watcher.standings} == {True}


def test_a_reset_is_answered_with_what_differs(ready, log, done):
    host, session, watcher = ready
    told = ["threads was '7', and is '1'"]
    assert done(session, Reset(host.beginning(Opening(log=made_otherwise(log, threads=7))))) == {
        "seed": 1,
        "differs": told,
    }
    assert session.standing.detail == {"differs": told}
    assert done(session, Reset(host.beginning(Opening(seed=6)))) == {"seed": 6}
    watcher.until(lambda self: self.standings[-1].detail is None)


def test_what_differs_goes_with_the_rollout(ready, log, done):
    host, session, _ = ready
    done(session, Keep("before"))
    done(session, Reset(host.beginning(Opening(log=made_otherwise(log, threads=7)))))
    forked = host.session(done(session, Fork())["session"])
    assert forked.standing.detail == session.standing.detail == {"differs": ["threads was '7', and is '1'"]}
    done(session, Keep("after"))
    done(session, Return("before"))
    assert session.standing.detail is None
    done(session, Return("after"))
    assert session.standing.detail == forked.standing.detail


def test_versions_differ_too(toy_config, card):
    tree = {**as_tree(ControlLog(Opening(seed=3), card.steering, MANY), card.slug, {}), "made_with": {}}
    tree["versions"] = {**versions(card.slug), "torch": "1.0", "/home/secret": "2.0"}
    log = read_log(tree, card, most_bytes=MANY)
    (told,) = Scribe(card.slug, {}).differs(log)
    assert told == f"torch was '1.0', and is {versions(card.slug)['torch']!r}"
    assert "secret" not in str(log.came_with), "names that nobody compares are not kept"


NONSENSE = [None, [], "x" * 10**6, 10**4000, float("nan"), {"a": 1}, [[]] * 1000, "\x1b[2J", True]


@pytest.mark.parametrize("value", NONSENSE, ids=range(len(NONSENSE)))
def test_whatever_a_log_says_is_bounded_and_harmless(value):
    now = {"config": "0123", "device": "cpu", "threads": 2, "batch": False, "torch": "2.9"}
    for tree in ({"made_with": value, "versions": value}, {"made_with": dict.fromkeys(now, value)}):
        told = told_in({**tree, "more": value}, ["torch"])
        assert len(str(told)) < 1200
        lines = changes_since(told, now)
        assert max(map(len, lines), default=0) < 120
        assert "\x1b" not in "".join(lines)
        json.dumps(lines)


@pytest.fixture
def card(toy_config):
    return ModelCard.of(toy_config)
