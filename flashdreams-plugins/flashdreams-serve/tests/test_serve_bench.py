"""The figures of serve-bench, and the command against a real server."""

import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from flashdreams.client import Frame
from flashdreams_serve.bench.document import document, last_line, people_table
from flashdreams_serve.bench.figures import Figures, client_figures, quantiles, spread_of
from flashdreams_serve.bench.presses import Presses

STEERING = {
    "axes": [{"name": "steer", "low": -1.0, "high": 1.0, "rest": 0.0, "keys": {"KeyA": -0.5, "KeyD": 0.5}}],
    "choices": [{"name": "gear", "options": ["low", "high"]}],
}
STAGES = {"waited_ms": 10.0, "made_ms": 20.0, "held_ms": 1.0, "encoded_ms": 2.0}


def frame(seq, arrived_at):
    pixels = np.zeros((2, 2, 3), np.uint8)
    return Frame(pixels, arrived_at, STAGES, number=0, chunk=0, index=0, epoch=0, seq=seq, sent_at=None)


def drive(frames, totals):
    latencies = [{"total": total, "stages": {**STAGES, "travel_ms": total - 33.0}} for total in totals]
    counts = dict.fromkeys(("underruns", "longest_gap_ms", "missed", "dropped", "stale"), 0)
    return {"frames": frames, "seconds": 10.0, "latencies": latencies, **counts}


def figures(*drives, **changes):
    key_to_pixel, stages = spread_of(drives)
    held = Figures(
        slug="toy",
        command="flashdreams serve-bench toy",
        date="2026-11-24",
        machine="here",
        versions={"torch": "2"},
        size={"width": 8, "height": 4, "fps": 16.0},
        transport="websocket",
        codec="jpeg",
        seconds=10.0,
        key_to_pixel=key_to_pixel,
        stages=stages,
        clients=client_figures(drives),
        opened=[12.0],
        queue_answer=[3.0, 5.0, 4.0],
        ready_after=1.5,
        first_frame_after=2.0,
    )
    return replace(held, **changes)


def test_presses_are_drawn_from_what_can_be_steered_and_from_the_seed():
    one, two, other = (Presses(STEERING, seed) for seed in (1, 1, 2))
    drawn = [one.next() for _ in range(50)]
    assert drawn == [two.next() for _ in range(50)] != [other.next() for _ in range(50)]
    assert {value for each in drawn for value in each.values()} == {-0.5, 0.0, 0.5, "low", "high"}
    assert Presses({"texts": [{"name": "prompt"}]}, 1).next() == {}


def test_a_press_is_seen_in_the_first_frame_that_obeys_it_and_only_there():
    presses = Presses(STEERING, 1)
    presses.pressed(1, at=10.0)
    presses.seen(frame(seq=0, arrived_at=10.05))
    assert presses.latencies == []
    presses.seen(frame(seq=1, arrived_at=10.1))
    presses.seen(frame(seq=1, arrived_at=10.2))
    (latency,) = presses.latencies
    assert latency.total == pytest.approx(100.0)
    assert sum(latency.stages.values()) == pytest.approx(latency.total)


def test_of_presses_that_one_frame_obeys_only_the_last_has_stages():
    presses = Presses(STEERING, 1)
    presses.pressed(1, at=10.0)
    presses.pressed(2, at=10.05)
    presses.seen(frame(seq=2, arrived_at=10.1))
    first, last = presses.latencies
    assert (first.total, last.total) == pytest.approx((100.0, 50.0))
    assert first.stages == {}
    assert last.stages["travel_ms"] == pytest.approx(50.0 - 33.0)


def test_quantiles_lie_between_values_and_of_none_there_are_none():
    spread = quantiles([float(n) for n in range(101)])
    assert (spread.p50, spread.p95, spread.p99, spread.times) == (50.0, 95.0, 99.0, 101)
    assert quantiles([]) is None


def test_shares_and_unfairness_are_of_the_frames_that_were_seen():
    held = figures(drive(100, [50.0]), drive(60, [70.0]))
    assert [client.share for client in held.clients] == [0.625, 0.375]
    assert held.unfairness == pytest.approx(0.25)
    assert held.clients[0].frames_per_second == 10.0
    assert held.key_to_pixel.p50 == 60.0
    assert set(held.stages) == {*STAGES, "travel_ms"}


def test_tables_hold_the_figures_and_the_last_line_is_json():
    held = figures(drive(100, [50.0]), drive(60, [70.0]))
    table, page = people_table(held), document(held)
    assert "2 clients by WebSocket with jpeg" in table
    assert "25.0%" in table
    assert page.startswith("# toy, ")
    read = json.loads(last_line(held))
    assert read["benchmark"] == "serve-bench"
    assert read["queue_answer"] == [3.0, 5.0, 4.0]
    assert json.loads(page.splitlines()[-1]) == read


def test_a_model_that_cannot_be_steered_still_has_a_table():
    assert "no key was seen" in people_table(figures(drive(100, []), ready_after=None))


def bench(*words):
    line = [sys.executable, "-m", "flashdreams", "serve-bench", *words]
    return subprocess.run(line, capture_output=True, text=True, timeout=180)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--transport", "pigeon"], "pigeon"),
        (["--codec", "gif"], "gif"),
        (["--clients", "none"], "none"),
        (["--document", "figures.txt"], "Markdown"),
    ],
)
def test_a_wrong_line_is_refused_before_anything_is_started(words, said):
    done = bench("pocket-racer", *words)
    assert done.returncode == 2
    assert said in done.stderr


def test_a_server_that_is_not_there_is_told_at_once():
    done = bench("pocket-racer", "--server", "http://127.0.0.1:9")
    assert done.returncode == 1
    assert "No answer from http://127.0.0.1:9" in done.stderr


def test_it_measures_a_server_that_it_starts(tmp_path):
    page = tmp_path / "racer.md"
    done = bench("pocket-racer", "--clients", "2", "--seconds", "3", "--document", str(page))
    assert done.returncode == 0, done.stderr
    read = json.loads(done.stdout.splitlines()[-1])
    assert read["slug"] == "pocket-racer"
    assert len(read["clients"]) == 2
    assert all(client["frames_per_second"] > 0 for client in read["clients"])
    assert read["key_to_pixel"]["times"] > 0
    assert len(read["queue_answer"]) == 5
    assert 0 < read["ready_after"] < read["first_frame_after"]
    assert json.loads(page.read_text().splitlines()[-1]) == read


@pytest.mark.slow
def test_it_measures_by_webrtc():
    done = bench("pocket-racer", "--seconds", "4", "--transport", "webrtc", "--json")
    assert done.returncode == 0, done.stderr
    read = json.loads(done.stdout)
    assert read["transport"] == "webrtc"
    assert read["clients"][0]["frames_per_second"] > 0
    assert read["key_to_pixel"]["times"] > 0
