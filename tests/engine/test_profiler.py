import json
import time
from collections import Counter

import pytest
import torch

from flashdreams.engine.clocks import HostClock, clock_of
from flashdreams.engine.engine import Engine
from flashdreams.engine.graphs.executor import GraphExecution
from flashdreams.engine.graphs.recording import RecordingBackend
from flashdreams.engine.lanes import Lanes
from flashdreams.engine.profile_report import chrome_trace, report, rows, write_trace
from flashdreams.engine.profiler import ProfiledExecution, Profiler
from flashdreams.infra.percentile import percentile
from flashdreams.infra.pipeline.execution import Execution
from flashdreams.testing.lane_clocks import RecordedLanes
from flashdreams.testing.lane_races import LaneWatch


def profiled(toy, chunks, clock=None):
    profiler = Profiler(clock or HostClock())
    toy.execution = ProfiledExecution(toy.execution, profiler)
    with toy.initialize_cache(prompts=["a"]) as rollout:
        video = torch.cat(list(toy.stream(rollout, [0.5] * chunks)), dim=2)
    return profiler, video


def test_every_stage_of_every_chunk_is_timed(toy):
    profiler, _ = profiled(toy, 3)
    parts = ["prepare", "denoise", "decode", "generate", "write_context", "finalize"]
    assert [span.name for span in profiler.spans] == ["begin", *parts * 3]
    assert [span.chunk for span in profiler.spans] == [-1, *(chunk for chunk in range(3) for _ in parts)]
    assert {span.lane for span in profiler.spans if span.name == "decode"} == {"aside"}
    assert {span.path for span in profiler.spans if span.chunk >= 0} == {"eager"}
    assert len(profiler.memory) == 3


def test_parts_lie_within_what_they_are_parts_of(toy):
    profiler, _ = profiled(toy, 3)
    for chunk in range(3):
        spans = {span.name: span for span in profiler.spans if span.chunk == chunk}
        for whole, parts in {
            "generate": ["prepare", "denoise", "decode"],
            "finalize": ["write_context"],
        }.items():
            assert sum(spans[part].seconds for part in parts) <= spans[whole].seconds
            for part in parts:
                assert spans[whole].start <= spans[part].start
                assert spans[part].seconds > 0


def test_a_part_takes_what_it_takes(toy):
    encode = toy.encoder.forward

    def slow(input, state):
        time.sleep(0.02)
        return encode(input, state)

    toy.encoder.forward = slow
    profiler, _ = profiled(toy, 3)
    table = {row.name: row for row in rows(profiler.spans)}
    assert all(table[name].p50 >= 0.02 for name in ("prepare", "generate", "chunk period"))
    assert table["prepare"].p50 + table["denoise"].p50 <= table["generate"].p99


def test_the_video_is_the_same(toy):
    with toy.initialize_cache(prompts=["a"]) as rollout:
        expected = torch.cat(list(toy.stream(rollout, [0.5] * 4)), dim=2)
    assert torch.equal(profiled(toy, 4)[1], expected)


def test_a_chunk_that_failed_and_one_that_was_repeated_are_told_apart(toy):
    profiler = Profiler(HostClock())
    toy.execution = ProfiledExecution(toy.execution, profiler)
    with toy.initialize_cache() as rollout:
        with pytest.raises(ValueError, match="could not convert"):
            toy.generate(0, rollout, input="no number")
        toy.generate(0, rollout, input=1.0)
        toy.finalize(0, rollout)
    counts = Counter(span.name for span in profiler.spans)
    assert counts == {"begin": 1, "generate": 2, "prepare": 2, "denoise": 1, "decode": 1} | {
        "finalize": 1,
        "write_context": 1,
    }


class LateClock(HostClock):
    """A device that is behind: moments come when it is told so."""

    def __init__(self):
        super().__init__()
        self.reached = -1.0

    def has_come(self, stamp):
        return stamp <= self.reached

    def wait_for(self, stamp):
        self.reached = max(self.reached, stamp)


def test_what_the_device_has_not_reached_is_read_later(toy):
    clock = LateClock()
    profiler, _ = profiled(toy, 2, clock)
    assert not profiler.spans, "nothing was waited for"
    clock.reached = clock.now()
    profiler.drain()
    assert len(profiler.spans) == 13
    with profiler.span("more"):
        pass
    profiler.drain()
    assert len(profiler.spans) == 13
    profiler.drain(wait=True)
    assert profiler.spans[-1].name == "more"


def test_timing_leaves_lanes_as_they_are(toy):
    source = RecordedLanes()
    toy.execution = Lanes(source)
    with LaneWatch(source):
        profiled(toy, 3)
        torch.empty(0)
    assert source.memory.races == []
    assert {"aside", "work"} <= source.lanes[1].clock.keys() | source.lanes[2].clock.keys()


@pytest.mark.parametrize(
    ("values", "share", "expected"),
    [([3.0], 0.99, 3.0), ([4, 1, 3, 2], 0.5, 2.5), (range(101), 0.9, 90), ([1, 2], 0.25, 1.25)],
)
def test_percentiles(values, share, expected):
    assert percentile(list(values), share) == expected


def test_the_table(toy):
    profiler, _ = profiled(toy, 5)
    header, period, *others, last = report(profiler).splitlines()
    assert header.endswith("p50 ms  p90 ms  p99 ms  of period  host p50 ms")
    assert period.split()[:3] == ["chunk", "period", "4"]
    assert period.endswith("100%")
    parts = ["generate", "prepare", "denoise", "decode", "finalize", "write_context"]
    assert [line.split()[0] for line in others] == parts
    assert last.startswith("Chunks by path: 5 eager. Most memory held: ")


def test_the_trace_is_one_that_browsers_read(toy, tmp_path):
    profiler, _ = profiled(toy, 2)
    write_trace(profiler, tmp_path / "new/trace.json")
    events = json.loads((tmp_path / "new/trace.json").read_text())["traceEvents"]
    assert {event["ph"] for event in events} == {"M", "X", "C"}
    lanes = {event["tid"]: event["args"]["name"] for event in events if event["ph"] == "M"}
    assert lanes == {0: "host", 1: "work", 2: "aside"}
    decoded = [event for event in events if event["name"] == "decode" and lanes[event["tid"]] == "aside"]
    assert [event["args"]["chunk"] for event in decoded] == [0, 1]
    assert all(event["dur"] > 0 and event["ts"] >= 0 for event in events if event["ph"] == "X")
    assert chrome_trace(profiler)["displayTimeUnit"] == "ms"


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
def test_a_card_is_timed_without_being_waited_for():
    device = torch.device("cuda")
    profiler = Profiler(clock_of(device))
    matrix = torch.randn(4096, 4096, device=device)
    with profiler.span("product"):
        for _ in range(50):
            matrix @ matrix
    profiler.drain(wait=True)
    assert profiler.spans[0].host_seconds > 0
    assert 1e-4 < profiler.spans[0].seconds < 10


def test_a_warm_up_is_no_part_of_any_chunk(toy):
    profiler = Profiler(HostClock())
    toy.execution = ProfiledExecution(Engine(Execution(), GraphExecution(RecordingBackend())), profiler)
    toy.warmup(controls=[0.5])
    assert list(profiler.spans) == []
    assert profiler.chunk == -1
    with toy.initialize_cache() as rollout:
        list(toy.stream(rollout, [0.5] * 2))
    profiler.drain(wait=True)
    assert {span.path for span in profiler.spans if span.chunk >= 0} == {"graph"}
