import numpy as np
import pytest
import torch

from flashdreams.engine.frames import Departure, FrameExit, frame_exit
from flashdreams.engine.lanes import Lanes
from flashdreams.io.pixels import to_uint8
from flashdreams.testing.lane_clocks import RecordedLanes
from flashdreams.testing.lane_races import LaneWatch


def random_pixels(*shape):
    return torch.rand(shape, generator=torch.Generator().manual_seed(0)) * 2.2 - 1.1


def test_frames_of_a_cpu_are_here_at_once():
    pixels = random_pixels(2, 3, 4, 5, 6)
    departure = frame_exit(torch.device("cpu")).send_pixels(pixels)
    assert departure.is_here
    assert np.array_equal(departure.arrived().numpy(), to_uint8(pixels))


def test_on_lanes_they_are_the_same_and_waited_for():
    pixels = random_pixels(1, 3, 2, 4, 4).to(torch.bfloat16)
    departure = FrameExit(RecordedLanes(), pinned=False).send_pixels(pixels)
    assert not departure.is_here
    assert np.array_equal(departure.arrived().numpy(), to_uint8(pixels))


def test_other_tensors_leave_as_they_are():
    latents = random_pixels(1, 4, 2, 4, 4).to(torch.bfloat16)
    arrived = FrameExit(RecordedLanes(), pinned=False).send(latents).arrived()
    assert arrived.dtype == torch.bfloat16
    assert torch.equal(arrived, latents)


class ReadAtOnce(Departure):
    """Does not wait."""

    def arrived(self):
        return self._here


def raced(pipeline, read):
    """Races of rollouts whose frames are read a chunk later, on a lane that plays the host's own."""
    source = RecordedLanes()
    host = source.new_lane()
    host.name = "the host"
    pipeline.execution = Lanes(source)
    way_off = FrameExit(source, pinned=False)
    with LaneWatch(source):
        for _ in range(2):
            with pipeline.initialize_cache() as rollout:
                leaving = None
                for index in range(4):
                    chunk = pipeline.generate(index, rollout, input=0.5)
                    if leaving is not None:
                        frames = read(leaving)
                        with host.entered():
                            frames.sum()
                            host.keep(
                                frames
                            )  # it is the host's memory, and used again once the host drops it
                    leaving = way_off.send_pixels(chunk)
                    pipeline.finalize(index, rollout)
        pipeline.execution.catch_up()
        way_off.settle()
        torch.empty(0)
    return source.memory.races


def test_frames_leave_without_races_beside_the_next_chunk(toy):
    assert raced(toy, lambda departure: departure.arrived()) == []


def test_frames_that_are_not_waited_for_race(toy):
    races = raced(toy, lambda departure: ReadAtOnce(departure._here, departure._mark).arrived())
    assert any("aten.sum.default" in race and "on the host touches what aten.copy_" in race for race in races)


def test_what_was_begun_is_done_once_settled():
    source = RecordedLanes()
    other = source.new_lane()
    with LaneWatch(source):
        torch.ones(3).mul_(2)
        FrameExit(source, pinned=False).settle()
    assert other.clock == source.current().clock != {}


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
def test_frames_leave_a_card():
    pixels = random_pixels(1, 3, 12, 480, 832)
    departures = [frame_exit(torch.device("cuda")).send_pixels(pixels.cuda()) for _ in range(3)]
    for departure in departures:
        assert departure.arrived().is_pinned()
        assert np.array_equal(departure.arrived().numpy(), to_uint8(pixels))
