import re
from contextlib import contextmanager
from dataclasses import replace

import pytest
import torch

from flashdreams.engine.lanes import Lanes, lanes_on
from flashdreams.infra.config import derive_config
from flashdreams.infra.encoder.base import Encoder, EncoderConfig
from flashdreams.infra.pipeline.execution import Execution
from flashdreams.testing.lane_clocks import RecordedLanes
from flashdreams.testing.lane_races import LaneWatch, find_races
from flashdreams.testing.toy import toy_pipeline_config


class TakesTensors(Encoder):
    """The mean of a tensor that the caller has."""

    def forward(self, input):
        return input.mean().reshape(1)


def tensor_steered():
    config = EncoderConfig(_target=TakesTensors)
    return derive_config(toy_pipeline_config(), encoder=config).setup()


def made_by_the_caller(index):
    return torch.ones(3) * index


def video(pipeline):
    with pipeline.initialize_cache(prompts=["a"], seed=3) as rollout:
        return torch.cat(list(pipeline.stream(rollout, [0.5, -0.5, 1.0, 0.0])), dim=2)


# --- the lanes as they are


def test_a_rollout_has_no_races(toy):
    assert find_races(toy, 6, controls=lambda index: 0.5, prompts=["a"]) == []


def test_a_rollout_steered_by_tensors_of_the_caller_has_no_races():
    assert find_races(tensor_steered(), 3, controls=made_by_the_caller) == []


def test_a_pipeline_without_a_decoder_has_no_races():
    config = derive_config(toy_pipeline_config(), decoder=None, height=4, width=4)
    assert find_races(config.setup(), 3) == []


def test_snapshots_forks_and_rollouts_of_other_sizes_have_no_races():
    toy = derive_config(toy_pipeline_config(), slots=2).setup()
    source = RecordedLanes()
    toy.execution = Lanes(source)
    with LaneWatch(source):
        for height in (8, 16, 8, 4):
            with toy.initialize_cache(prompts=["a"], height=height, width=8) as rollout:
                list(toy.stream(rollout, [0.5]))
                with rollout.fork() as fork:
                    list(toy.stream(fork, [0.5, 0.0]))
                toy.generate(1, rollout)
        torch.empty(0)
    assert source.memory.races == []


def test_pixels_are_the_same_on_lanes(toy):
    expected = video(toy)
    toy.execution = Lanes(RecordedLanes())
    assert torch.equal(video(toy), expected)


def test_decoding_overlaps_finalize_and_the_next_chunk(toy):
    source, known = RecordedLanes(), []

    class Watched(Lanes):
        def run(self, stage, slot):
            result = super().run(stage, slot)
            known.append((stage.name, dict(source.current().clock)))
            return result

    toy.execution = Watched(source)
    with LaneWatch(source), toy.initialize_cache() as rollout:
        list(toy.stream(rollout, [0.0] * 3))
    assert [name for name, _ in known] == ["denoise", "decode", "write_context"] * 3
    for chunk in range(2):
        decoded, finalized, denoised = (known[3 * chunk + n][1] for n in (1, 2, 3))
        assert finalized.get("aside", 0) < decoded["aside"], "finalize waits for no decoding"
        assert denoised.get("aside", 0) < decoded["aside"], "nor do the steps of the next chunk"
    assert known[4][1]["work"] >= known[3][1]["work"], "decoding waits for its own chunk"


def test_a_device_without_lanes_runs_in_one_line():
    assert type(lanes_on(torch.device("cpu"))) is Execution


def test_lanes_are_left_when_the_work_fails(toy):
    source = RecordedLanes()
    toy.execution = Lanes(source)
    with toy.initialize_cache() as rollout:
        with pytest.raises(ValueError, match="could not convert"):
            toy.generate(0, rollout, input="no number")
        assert source.current() is source.lanes[0]
        assert torch.isfinite(toy.generate(0, rollout, input=1.0)).all()


# --- lanes with one promise broken: each must be found


class AsideAtOnce(Lanes):
    """Decodes without waiting for the chunk to be clean."""

    @contextmanager
    def aside(self):
        with self._aside.entered():
            yield


class NoRejoin(Lanes):
    """Overwrites what may be being decoded."""

    def rejoin(self):
        pass


class CallerAtOnce(Lanes):
    """Gives pixels away that may not be there yet."""

    def catch_up(self, results=None):
        pass


class NothingKept(Lanes):
    """Uses the memory of pixels again while the caller may read them."""

    def catch_up(self, results=None):
        super().catch_up()


class WorkAtOnce(Lanes):
    """Reads the caller's tensors before they may be there."""

    def work(self, given=None, *, after_all=False):
        return super().work(None, after_all=after_all)


class DecodedFromTheChunkItself(Lanes):
    """Decodes from where the next chunk is written, without a place of its own."""

    def run(self, stage, slot):
        return stage.function(replace(slot, to_decode=slot.latents) if stage.name == "decode" else slot)


BROKEN = {
    AsideAtOnce: r"on aside touches what aten\.\w+\.\w+ \(base\.py:\d+\) on work may still be using",
    NoRejoin: r"aten\.copy_\.default \(base\.py:\d+\) on work touches what .* on aside",
    CallerAtOnce: r"aten\.sum\.default .* on the caller's lane touches what aten\.tanh.* on aside",
    NothingKept: r"memory dropped on aside may be used again while aten\.sum.* on the caller's lane",
    WorkAtOnce: r"aten\.mean\.default .* on work touches what aten\.mul.* on the caller's lane",
    DecodedFromTheChunkItself: r"aten\.copy_\.default .* on work touches what aten\.\w+\.\w+ .* on aside",
}


@pytest.mark.parametrize("lanes", BROKEN, ids=lambda lanes: lanes.__name__)
def test_a_broken_promise_is_found(lanes, toy):
    races = find_races(toy, 3, lanes=lanes)
    races += find_races(tensor_steered(), 3, lanes=lanes, controls=made_by_the_caller)
    assert [race for race in races if re.search(BROKEN[lanes], race)], races
