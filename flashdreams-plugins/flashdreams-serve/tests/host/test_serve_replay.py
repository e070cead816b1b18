"""Rollouts made again from their control logs."""

from __future__ import annotations

import copy
import json
import tracemalloc
from importlib.metadata import version

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flashdreams.cli.main import main as flashdreams
from flashdreams.errors import ControlError, FlashDreamsError, UsageError
from flashdreams_serve.commands import serve_replay
from flashdreams_serve.host.card import ModelCard
from flashdreams_serve.host.control_log import ControlLog
from flashdreams_serve.host.errors import OpeningError
from flashdreams_serve.host.log_file import as_tree, read_log
from flashdreams_serve.host.openings import read_opening
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
)
from flashdreams_serve.host.replay import replay
from flashdreams_serve.settings import Limits

MANY = 4 * 2**20


def done(session, order):
    return session.order(order).result(60)


def replayed(config, tree):
    tree = json.loads(json.dumps(tree))
    log = read_log(tree, ModelCard.of(config), most_bytes=MANY)
    return [frames.tobytes() for frames, _ in replay(config.setup(), log)]


def shown(watcher, chunks):
    """What was shown last of each of the first chunks."""
    last = {chunk.chunk: chunk.frames.tobytes() for chunk in watcher.chunks}
    return [last[index] for index in range(chunks)]


def steer(session, watcher, controls, first_seq=1):
    """Steer in real time, whenever a chunk has come."""
    for seq, values in enumerate(controls, start=first_seq):
        enough = len(watcher.chunks) + 1 + seq % 2
        session.control(Control(seq=seq, values=values))
        watcher.until(lambda self, enough=enough: len(self.chunks) >= enough)


CONTROLS = [{"push": 1.0}, {"gear": "high", "say": "go"}, {"say": "stop"}, {"push": -2.0}, {"push": 0.25}]


def test_a_replay_equals_the_original_after_all_that_can_happen_to_a_session(
    host_of, toy_config, watched, new_watcher
):
    host = host_of(toy_config)
    session, watcher = watched(host, Opening(prompt="a road"))
    watched(host)  # somebody else dreams meanwhile
    steer(session, watcher, CONTROLS)
    first = _paused(session)
    assert replayed(toy_config, first) == shown(watcher, first["chunks"])

    done(session, Keep("here"))
    done(session, Resume())
    steer(session, watcher, CONTROLS[::-1], first_seq=10)
    second = _paused(session)
    before_return = shown(watcher, second["chunks"])
    assert replayed(toy_config, second) == before_return

    done(session, Return("here"))
    done(session, Resume())
    steer(session, watcher, [{"push": 3.5}, {"say": "elsewhere"}], first_seq=30)
    third = _paused(session)
    assert replayed(toy_config, third) == shown(watcher, third["chunks"])
    assert replayed(toy_config, third)[: first["chunks"]] == before_return[: first["chunks"]]

    forked = host.session(done(session, Fork())["session"])
    watching = new_watcher()
    forked.attach(watching)
    steer(forked, watching, [{"push": -3.5}, {"gear": "low"}])
    fourth = _paused(forked)
    assert replayed(toy_config, fourth)[: third["chunks"]] == shown(watcher, third["chunks"])
    assert replayed(toy_config, fourth)[third["chunks"] :] == watching.frames

    done(session, Reset(host.beginning(Opening(seed=12, prompt="a river"))))
    epoch = watcher.dropped[-1]
    done(session, Resume())
    steer(session, watcher, CONTROLS[:2], first_seq=50)
    fifth = _paused(session)
    assert fifth["opening"] == {"seed": 12, "prompt": "a river"}
    since = [chunk.frames.tobytes() for chunk in watcher.chunks if chunk.epoch >= epoch]
    assert replayed(toy_config, fifth) == since


def _paused(session):
    done(session, Pause())
    return done(session, GiveLog())["log"]


def test_a_session_that_begins_with_a_log_goes_on_from_its_end(host_of, toy_config, watched, clock):
    host = host_of(toy_config)
    session, watcher = watched(host)
    steer(session, watcher, CONTROLS)
    log = _paused(session)
    done(session, Resume())
    steer(session, watcher, [{"push": 2.0}, {"push": 1.0}], first_seq=20)
    longer = _paused(session)

    again, watching = watched(host, Opening(log=json.loads(json.dumps(log))))
    assert again.view().seed == session.seed
    watching.until(lambda self: self.chunks)
    assert watching.chunks[0].chunk == log["chunks"], "the past is not shown again"
    log_again = _paused(again)
    assert log_again["controls"][: len(log["controls"])] == log["controls"]
    assert replayed(toy_config, log_again)[: log["chunks"]] == shown(watcher, log["chunks"])
    assert replayed(toy_config, log_again)[log["chunks"] :] == watching.frames

    done(again, Reset(host.beginning(Opening(log=longer))))
    assert again.view().state in ("opening", "paused")
    done(again, Resume())
    watching.until(lambda self: self.chunks[-1].chunk == longer["chunks"])
    done(again, Close())


def test_the_racer_is_made_again(host_of, racer_config, watched):
    host = host_of(racer_config)
    session, watcher = watched(host, Opening(seed=4, start="left-bend"))
    steer(session, watcher, [{"gas": 0.4}, {"steer": -0.5}, {"steer": 0.0, "gas": 0.0}, {"brake": 0.5}])
    log = _paused(session)
    assert replayed(racer_config, log) == watcher.frames[: log["chunks"]]


def test_the_command_writes_the_video_that_was_dreamt(host_of, racer_config, watched, tmp_path, capsys):
    import imageio.v3 as imageio

    session, watcher = watched(host_of(racer_config))
    steer(session, watcher, [{"steer": 0.5}, {"gas": 0.4}])
    log = _paused(session)
    (tmp_path / "log.json").write_text(json.dumps({"log": log}))
    line = ["serve-replay", str(tmp_path / "log.json"), "--device", "cpu", "--progress", "off", "--output"]
    assert flashdreams([*line, str(tmp_path / "frames"), "--scale", "1"]) == 0
    captured = capsys.readouterr()
    assert captured.out.strip() == str(tmp_path / "frames")
    assert not captured.err
    frames = [imageio.imread(path).tobytes() for path in sorted((tmp_path / "frames").iterdir())]
    assert frames == watcher.frames[: log["chunks"]]

    log["versions"]["torch"] = "1.0"
    (tmp_path / "log.json").write_text(json.dumps(log))
    assert flashdreams([*line, str(tmp_path / "b.mp4")]) == 0
    assert capsys.readouterr().err == (f"torch was 1.0, and is {version('torch')}: the video may differ.\n")
    assert imageio.imread(tmp_path / "b.mp4", index=None).shape == (log["chunks"], 384, 384, 3)


def test_the_command_says_what_the_video_is_made_with_otherwise(
    host_of, racer_config, watched, tmp_path, capsys
):
    session, watcher = watched(host_of(racer_config))
    watcher.until(lambda self: self.chunks)
    log = _paused(session)
    assert log["made_with"].keys() == {"config", "device", "threads", "batch"}
    made = {**log["made_with"], "threads": 2, "batch": True, "device": "\x1b[2J" * 100}
    (tmp_path / "log.json").write_text(json.dumps({**log, "made_with": made}))
    line = [
        "serve-replay",
        str(tmp_path / "log.json"),
        "--device",
        "cpu",
        "--progress",
        "off",
        "--output",
        str(tmp_path / "a.mp4"),
    ]
    assert flashdreams([*line, "--pipeline.diffusion-model.transformer.window", "8"]) == 0
    lines = capsys.readouterr().err.splitlines()
    assert [told.partition(" ")[0] for told in lines] == ["config", "device", "threads", "batch"]
    assert "threads was '2', and is '1': the video may differ." in lines
    assert max(map(len, lines)) < 250
    assert "\x1b" not in "".join(lines)


def test_a_log_of_many_chunks_takes_no_room(card):
    log = read_log({**as_tree(a_log(card), card.slug), "chunks": 10_000_000}, card, most_bytes=MANY)
    tracemalloc.start()
    past = log.past()
    assert (len(past), tracemalloc.get_traced_memory()[1] < 100_000) == (10_000_000, True)
    tracemalloc.stop()
    told = []
    for _ in range(4):
        told.append(past.news)
        past.advance()
    assert told == [{}, {"push": 1.0}, {}, {"say": "go", "gear": "high"}]
    assert len(past.rest()) == len(past) == 10_000_000 - 4


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        "3",
        '{"slug": 3}',
        '{"slug": "no-such-slug"}',
        '{"slug": "pocket-racer"}',
        "[" * 100_000,
        "\xff",
    ],
)
def test_the_command_refuses_what_is_no_log(tmp_path, content):
    (tmp_path / "log.json").write_bytes(content.encode("latin-1"))
    with pytest.raises(FlashDreamsError):
        serve_replay.main([str(tmp_path / "log.json")])


def test_the_command_leaves_nothing_on_the_screen_whatever_happens(card, tmp_path, monkeypatch):
    from flashdreams.infra.runner.progress import Progress

    ended = []
    monkeypatch.setattr(Progress, "end", lambda self, message: ended.append(message))
    (tmp_path / "log.json").write_text(json.dumps(as_tree(a_log(card), "pocket-racer")))
    broken = {**as_tree(ControlLog(Opening(seed=1), card.steering, MANY), "pocket-racer"), "chunks": 2}
    (tmp_path / "log.json").write_text(json.dumps(broken))
    monkeypatch.setattr("flashdreams_serve.host.dream.Dream.make", None)
    line = [
        "serve-replay",
        str(tmp_path / "log.json"),
        "--device",
        "cpu",
        "--output",
        str(tmp_path / "a.mp4"),
    ]
    with pytest.raises(TypeError):
        serve_replay.main(line[1:])
    assert ended == [""]


def test_the_command_calls_itself_as_it_was_called(card, tmp_path, capsys):
    path = tmp_path / "log.json"
    path.write_text(json.dumps(as_tree(a_log(card), "pocket-racer")))
    assert flashdreams(["serve-replay", str(path), "--engine.threads", "2"]) == 2
    assert f"flashdreams serve-replay {path} --help" in capsys.readouterr().err
    assert flashdreams(["serve-replay", str(path), "--help"]) == 0
    assert f"flashdreams serve-replay {path}" in capsys.readouterr().out


def test_the_command_explains_itself(tmp_path, capsys):
    assert serve_replay.main(["--help"]) == 0
    assert "LOG.json" in capsys.readouterr().out
    with pytest.raises(UsageError):
        serve_replay.main([])
    with pytest.raises(UsageError, match="No such file"):
        serve_replay.main([str(tmp_path / "absent.json")])


@pytest.fixture
def card(toy_config):
    return ModelCard.of(toy_config)


def a_log(card):
    log = ControlLog(Opening(seed=3), card.steering, MANY)
    for news in ({}, {"push": 1.0}, {}, {"say": "go", "gear": "high"}):
        log.note(log.news(news))
    return log


def test_a_log_is_read_as_it_was_written(card):
    log = a_log(card)
    tree = as_tree(log, card.slug)
    assert (tree["chunks"], tree["controls"]) == (4, [[1, {"push": 1.0}], [3, {"say": "go", "gear": "high"}]])
    again = read_log(json.loads(json.dumps(tree)), card, most_bytes=MANY)
    assert as_tree(again, card.slug) == tree
    assert [*again.per_chunk()] == [*log.per_chunk()]
    assert again.held == log.held == {"push": 1.0, "gear": "high"}


def test_what_does_not_change_is_not_written(card):
    log = a_log(card)
    log.note(log.news({"push": 1.0}))
    assert log.chunks == 5
    assert len(log.changes) == 2


def test_a_copy_made_in_another_thread_holds_whole_chunks(card):
    log = ControlLog(Opening(seed=3), card.steering, MANY)
    for push in (1.0, 2.0):
        log.note({"push": push})
    log.changes.append((2, {"push": 3.0}))  # as far as note() has come when a server is told to end
    assert log.copy().changes == [(0, {"push": 1.0}), (1, {"push": 2.0})]
    assert read_log(as_tree(log.copy(), "toy"), card, most_bytes=MANY).chunks == 2


def test_a_log_stays_within_its_bounds(card):
    log = ControlLog(Opening(seed=3), card.steering, 1000)
    for chunk in range(1000):
        log.note(log.news({"push": float(chunk % 2) + 1.0}))
    assert not log.is_whole
    assert log.chunks == 1000
    assert len(log.changes) < 100


def test_a_log_that_has_become_too_long_is_not_given(host_of, toy_config, watched):
    from flashdreams_serve.host.errors import OrderRefusedError

    host = host_of(toy_config, log_bytes=60)
    session, watcher = watched(host)
    steer(session, watcher, CONTROLS)
    with pytest.raises(OrderRefusedError) as caught:
        done(session, GiveLog())
    assert caught.value.code == "log_too_long"
    done(session, Reset(host.beginning(Opening())))
    done(session, GiveLog())


GOOD = {"push": 1.0}
BROKEN = [
    *(("format", value) for value in ("", None, 3)),
    *(("version", value) for value in (0, 2, True, "1")),
    *(("slug", value) for value in ("other", None)),
    *(("opening", value) for value in (None, [], {}, {"seed": -1}, {"seed": 1.5}, {"seed": True})),
    *(("opening", {"seed": 1, **more}) for more in ({"prompt": 3}, {"more": 1}, {"image": "!"})),
    ("opening", {"seed": 1, "image": "eJwDAAAAAAE="}),
    *(("chunks", value) for value in (-1, 2, None, 10**12, 1.5, True)),
    *(("controls", value) for value in (None, {}, [3], [[1]], [[1, {}]], [[True, GOOD]], [[-1, GOOD]])),
    *(("controls", [[first, GOOD], [1, GOOD]]) for first in (1, 2)),
    *(("controls", [[1, {"push": value}]]) for value in (9.0, float("nan"), "1", None, True)),
    *(("controls", [[1, values]]) for values in ({"fly": 1.0}, {"say": "x" * 41}, {"gear": "no"})),
]


@pytest.mark.parametrize(("name", "value"), BROKEN)
def test_a_broken_log_is_refused(card, name, value):
    tree = {**as_tree(a_log(card), card.slug), name: value}
    with pytest.raises(ControlError):
        read_log(tree, card, most_bytes=MANY)


def test_a_prompt_that_nobody_could_write_down_is_refused(card):
    halves = "a road \ud83d"  # of a character, as JSON may hold it
    log = {**as_tree(a_log(card), card.slug), "opening": {"seed": 1, "prompt": halves}}
    for opening in (Opening(prompt=halves), Opening(log=json.loads(json.dumps(log)))):
        with pytest.raises(OpeningError, match="halves"):
            read_opening(opening, card, Limits())


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(field=st.sampled_from(["opening", "chunks", "controls", "version", "slug"]), value=JSON)
def test_whatever_a_client_sends_is_read_or_refused(card, field, value):
    tree = {**copy.deepcopy(as_tree(a_log(card), card.slug)), field: value}
    try:
        log = read_log(tree, card, most_bytes=MANY)
    except ControlError:
        return
    assert as_tree(log, card.slug)["chunks"] == tree["chunks"]
