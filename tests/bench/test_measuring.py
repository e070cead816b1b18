"""What is measured is what its name says, also on a device that the host runs ahead of."""

import time

import pytest
import torch

from flashdreams.bench import driving, measuring, rates
from flashdreams.bench.rates import fp8_card, sustained
from flashdreams.engine.clocks import HostClock
from flashdreams.engine.frames import FrameExit
from flashdreams.infra.runner import RunnerConfig
from flashdreams.plan import Card
from flashdreams.testing.toy import toy_pipeline_config

TOY = RunnerConfig(runner_name="toy", pipeline=toy_pipeline_config(), device="cpu", threads=1)
CPU = torch.device("cpu")
CHUNKS = 4


@pytest.mark.parametrize(
    ("last_apart", "expected"), [(False, [0, 1, 2, "settled"]), (True, [0, 1, "settled", 2, "settled"])]
)
def test_the_last_chunk_may_wait_for_all_before_it(monkeypatch, last_apart, expected):
    events, driver = [], driving.Driver(TOY)
    generate = driver.pipeline.generate

    class Exit(FrameExit):
        def settle(self):
            events.append("settled")

    def watched(index, rollout, input=None):
        events.append(index)
        return generate(index, rollout, input=input)

    monkeypatch.setattr(driving, "frame_exit", lambda device: Exit(None))
    monkeypatch.setattr(driver.pipeline, "generate", watched)
    drive = driver.drive(3, last_apart=last_apart)
    assert events == expected
    assert len(drive.periods) == len(drive.frames) == 3


def test_a_last_period_with_two_finalizes_is_not_counted(monkeypatch):
    drive = driving.Driver.drive

    def late(self, *args, **options):
        made = drive(self, *args, **options)
        made.ended += 1000
        return made

    monkeypatch.setattr(driving.Driver, "drive", late)
    figures = measuring.measure(TOY, chunks=CHUNKS)
    assert figures.period.times == sum(figures.paths.values()) == CHUNKS
    assert figures.period.p99 < 500


def test_what_is_measured_with_is_not_counted_as_the_slugs_memory(monkeypatch):
    held, measured_card = [1000], measuring.measured_card

    def heavy(*args, **options):
        held.append(10**12)
        return measured_card(*args, **options)

    monkeypatch.setattr(measuring, "measured_card", heavy)
    monkeypatch.setattr(HostClock, "most_bytes_held", lambda self: max(held))
    assert measuring.measure(TOY, chunks=1).peak_memory == 1000
    assert len(held) == 2


def test_a_rate_is_taken_when_it_has_run_for_a_while():
    calls = []

    def nap():
        calls.append(time.perf_counter())
        time.sleep(0.005)

    taken = sustained(nap, CPU, 0.04)
    assert 0.005 <= taken < 0.05
    assert calls[-1] - calls[0] > 2 * 0.04 - taken


def test_float8_is_timed_as_the_layers_multiply_it(monkeypatch):
    asked = []
    monkeypatch.setattr(rates, "_SIDE", 16)
    monkeypatch.setattr(rates, "sustained", lambda run, device: (run(), 1.0)[1])
    monkeypatch.setattr(torch, "_scaled_mm", lambda *args, **options: asked.append(options))
    card = fp8_card(Card(name="card", flops=2 * 16**3, bandwidth=1.0, memory=1, source=""), CPU)
    assert card.float8_rate == 1.0
    assert asked == [{"out_dtype": torch.bfloat16, "use_fast_accum": True}]
