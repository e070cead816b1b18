"""Chunks that are still on their way when the next is made, as on a device that works beside the host."""

import time

import numpy as np
import pytest
import torch
import yaml

from flashdreams.engine.frames import FrameExit
from flashdreams.engine.lanes import Lanes
from flashdreams.infra.config import derive_config
from flashdreams.infra.runner.interrupts import Interrupts
from flashdreams.infra.runner.progress import Pace, Progress
from flashdreams.infra.runner.recording import Leaving, Recording
from flashdreams.io.latents import read_latents
from flashdreams.testing.lane_clocks import RecordedLanes
from flashdreams.testing.lane_races import LaneWatch


@pytest.fixture
def recording(toys, tmp_path):
    config = derive_config(toys.PLAIN, output=tmp_path / "v.mp4")
    progress = Progress("plain", Pace(fps=16, total=4, began=time.monotonic()), "off")
    return Recording(tmp_path / "v.mp4", config, {"slug": "plain"}, progress, Interrupts())


def leaving(number, arrivals, is_here=False):
    def arrived():
        arrivals.append(number)
        return np.full((2, 16, 16, 3), number, np.uint8)

    return Leaving(arrived, is_here, 2)


def test_all_but_the_first_are_waited_for_one_chunk_later(recording):
    arrivals, seen = [], []
    with recording:
        recording.begin()
        for number in range(4):
            recording.write(leaving(number, arrivals))
            seen.append(list(arrivals))
            recording.chunk_final("graph")
        recording.device_is_done()
        assert arrivals == [0, 1, 2, 3]
    assert seen == [[0], [0], [0, 1], [0, 1, 2]]
    assert (recording.summary().frames, recording.progress.pace.frames) == (8, 8)


def test_those_that_are_here_are_written_at_once(recording):
    arrivals = []
    with recording:
        for number in range(3):
            recording.write(leaving(number, arrivals, is_here=True))
            assert arrivals == list(range(number + 1))


def record(chunks, recording):
    """Write chunks, then fail."""
    with recording:
        for chunk in chunks:
            recording.write(chunk)
        raise RuntimeError("the wheel came off")


def test_what_is_on_its_way_is_written_when_the_run_fails(recording, tmp_path, decode):
    with pytest.raises(RuntimeError, match="the wheel came off"):
        record([leaving(number, []) for number in range(3)], recording)
    assert len(decode(tmp_path / "v.mp4")) == 6
    made = yaml.safe_load((tmp_path / "v.mp4.run.yaml").read_text())["made"]
    assert (made["frames"], made["stopped_by"]) == (6, "RuntimeError")


def test_what_never_arrives_does_not_hide_why_the_run_failed(recording, tmp_path, decode):
    def lost():
        raise RuntimeError("the device is gone")

    with pytest.raises(RuntimeError, match="the wheel came off"):
        record([leaving(0, []), Leaving(lost, False, 2)], recording)
    assert len(decode(tmp_path / "v.mp4")) == 2


def on_lanes(config):
    """Run on recorded lanes: the output, and the races."""
    source, runner = RecordedLanes(), config.setup()
    runner.pipeline.execution = Lanes(source)
    runner._exit = FrameExit(source, pinned=False)
    with LaneWatch(source):
        output = runner.run().output
        torch.empty(0)
    return output, source.memory.races


@pytest.mark.parametrize("name", ["v", "v.mp4"])
def test_a_run_on_lanes_writes_the_same_video(toys, tmp_path, decode, name):
    config = derive_config(toys.TOY, progress="off")
    expected = derive_config(config, output=tmp_path / "plain" / name).setup().run().output
    output, races = on_lanes(derive_config(config, output=tmp_path / "lanes" / name))
    assert races == []
    if name == "v":
        names = sorted(path.name for path in expected.iterdir())
        assert names == sorted(path.name for path in output.iterdir())
        assert all((output / each).read_bytes() == (expected / each).read_bytes() for each in names)
    else:
        assert np.array_equal(decode(output), decode(expected))


def test_a_run_on_lanes_writes_the_same_latents(toys, tmp_path):
    config = derive_config(toys.LATENTS, total_blocks=4)
    expected = derive_config(config, output=tmp_path / "plain.npz").setup().run().output
    output, races = on_lanes(derive_config(config, output=tmp_path / "lanes.npz"))
    assert races == []
    assert np.array_equal(read_latents(output), read_latents(expected))
