"""pocket-racer as a user meets it."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

import flashdreams
from flashdreams.errors import (
    ControlError,
    FieldValueError,
    ImageError,
    InputError,
    WeightsFileError,
    WeightsHashError,
    WeightsKeyError,
)
from flashdreams.infra.config import derive_config
from flashdreams.infra.pipeline import StreamInferencePipeline
from flashdreams.testing.fake_gpu import host_syncs_on_fake_gpu
from flashdreams.testing.graph_readiness import record_rollouts
from flashdreams_pocket import shipped
from flashdreams_pocket.config import POCKET_RACER, POCKET_RACER_FINE, RacerTransformerConfig
from flashdreams_pocket.drivers import DRIVERS, road_mask
from flashdreams_pocket.shipped import load_start, start_names

GAS = (0.0, 0.5, 0.0)


@pytest.fixture(scope="module")
def racer() -> StreamInferencePipeline:
    return flashdreams.load("pocket-racer", device="cpu")


def dream(pipeline, controls, **conditions):
    with pipeline.initialize_cache(**conditions) as rollout:
        return torch.cat(list(pipeline.stream(rollout, controls)), dim=2)


def test_a_frame_per_chunk_in_pixels(racer):
    video = dream(racer, [GAS] * 3)
    assert video.shape == (1, 3, 3, 64, 64)
    assert video.abs().max() <= 1


def test_every_start_clip_begins_a_dream_of_a_road(racer):
    assert len(start_names()) >= 6
    for name in start_names():
        frame = ((dream(racer, [GAS], first_frame=name)[0, :, 0] + 1) * 127.5).permute(1, 2, 0).numpy()
        assert 0.02 < road_mask(frame).mean() < 0.9, name


def test_left_and_right_part_and_seeds_differ(racer):
    left = dream(racer, [(-0.8, 0.4, 0.0)] * 6)
    right = dream(racer, [(0.8, 0.4, 0.0)] * 6)
    assert (left - right)[:, :, -1].abs().mean() > 0.05
    assert not torch.equal(dream(racer, [GAS], seed=1), dream(racer, [GAS], seed=2))


def test_a_captured_graph_could_replay_it(racer):
    report = record_rollouts(racer, chunks=8, controls=lambda index: (0.1 * index - 0.4, 0.3, 0.0))
    # The start clip fills the window before the first generated frame: one graph serves every frame.
    assert [len(keys) for keys in report.keys_per_rollout] == [1, 1]
    assert report.new_in_later_rollouts == 0
    assert report.host_syncs == []
    with racer.initialize_cache() as rollout:
        list(racer.stream(rollout, [GAS]))
        assert host_syncs_on_fake_gpu(racer, rollout) == []


def test_a_dream_may_start_from_pixels_and_their_controls(racer):
    clip = load_start("straight")
    pixels = clip.frames.permute(3, 0, 1, 2)[None].float() / 127.5 - 1
    given = dream(racer, [GAS] * 2, first_frame=pixels, first_controls=clip.controls[None])
    assert torch.equal(given, dream(racer, [GAS] * 2, first_frame="straight"))
    single = dream(racer, [GAS] * 2, first_frame=pixels[:, :, -1:])
    assert single.shape == (1, 3, 2, 64, 64)


@pytest.mark.parametrize(
    ("given", "error", "says"),
    [
        (dict(first_frame=torch.zeros(3, 3, 1, 64, 64)), ImageError, r"first_frame is \[3, 3, 1, 64, 64\]"),
        (dict(first_frame=torch.zeros(1, 3, 0, 64, 64)), ImageError, r"first_frame is \[1, 3, 0, 64, 64\]"),
        (dict(first_frame=torch.zeros(1, 1, 1, 64, 64)), ImageError, r"first_frame is \[1, 1, 1, 64, 64\]"),
        (dict(first_frame=7), ImageError, "first_frame is int"),
        (dict(first_controls=torch.zeros(1, 5, 3)), ControlError, r"first_controls is \[1, 5, 3\]"),
        (dict(first_contrls=0), InputError, r"given first_contrls\.\nIt takes first_controls, first_frame"),
        (dict(prompts="a road"), InputError, "given prompts"),
    ],
)
def test_what_a_dream_cannot_begin_with_is_refused(racer, given, error, says):
    with pytest.raises(error, match=says):
        racer.initialize_cache(**given)
    assert racer.slots.lent == 0


def test_no_control_steers_nowhere():
    pipeline = derive_config(POCKET_RACER.pipeline, encoder=None).setup()
    steered = POCKET_RACER.pipeline.setup()
    assert torch.equal(dream(pipeline, [None] * 3), dream(steered, [(0.0, 0.0, 0.0)] * 3))


def test_variants_differ_by_their_config_alone():
    fine, plain = (c.pipeline.diffusion_model for c in (POCKET_RACER_FINE, POCKET_RACER))
    assert len(fine.scheduler.denoising_timesteps) == 4
    assert fine.transformer.weights == plain.transformer.weights
    assert POCKET_RACER_FINE.pipeline.decoder == POCKET_RACER.pipeline.decoder


@pytest.mark.parametrize("name", DRIVERS)
def test_a_driver_steers_towards_the_road(name):
    frame = np.full((64, 64, 3), (100, 200, 100), dtype=np.uint8)
    for row in range(64):
        column = 32 + (40 - row) // 2  # a road that leads to the right, ahead of the car
        frame[row, max(0, column - 8) : max(0, column + 8)] = 105
    steer, gas, brake = DRIVERS[name](frame)
    mirrored, _, _ = DRIVERS[name](frame[:, ::-1])
    assert steer > 0 > mirrored
    assert 0 <= gas <= 1
    assert 0 <= brake <= 1


@pytest.mark.parametrize(
    ("control", "says"),
    [
        ((0.0, 0.5), r"the shape \[1, 2\]"),
        ((2.0, 0.5, 0.0), "steer 2 at pixel frame 0"),
        ("left", "no list of numbers"),
        ((float("nan"), 0.0, 0.0), "steer nan"),
    ],
)
def test_a_control_that_cannot_steer_is_refused(racer, control, says):
    with racer.initialize_cache() as rollout, pytest.raises(ControlError, match=says):
        racer.generate(0, rollout, input=control)


def test_first_frames_that_are_none_are_refused(racer):
    with pytest.raises(ImageError, match=r"no start clip 'left-bent'(.|\n)*Did you mean 'left-bend'"):
        racer.initialize_cache(first_frame="left-bent")
    with pytest.raises(ImageError, match=r"first_frame is \[1, 3, 1, 32, 32\]"):
        racer.initialize_cache(first_frame=torch.zeros(1, 3, 1, 32, 32))


@pytest.mark.parametrize("change", [{"chunk": 2}, {"rope_positions": "window"}, {"window": 0}])
def test_configs_that_the_weights_cannot_serve_are_refused(change):
    with pytest.raises(FieldValueError, match=next(iter(change))):
        derive_config(RacerTransformerConfig(), **change)


@pytest.mark.parametrize("change", [{"height": 128}, {"decoder": None}])
def test_another_size_is_refused(change):
    pipeline = derive_config(POCKET_RACER.pipeline, **change).setup()
    with pytest.raises(FieldValueError, match="pocket-racer dreams 64 x 64 pixels"):
        pipeline.initialize_cache()
    assert pipeline.slots.lent == 0


def test_damaged_weights_are_refused(tmp_path, monkeypatch):
    def setup(path):
        transformer = RacerTransformerConfig(weights=str(path), context_encoder=None)
        return transformer.setup()

    truncated = tmp_path / "truncated.safetensors"
    truncated.write_bytes(shipped.WEIGHTS.read_bytes()[:-1000])
    with pytest.raises(WeightsFileError, match=r"truncated\.safetensors"):
        setup(truncated)
    with pytest.raises(WeightsFileError, match=r"absent\.safetensors"):
        setup(tmp_path / "absent.safetensors")
    other = tmp_path / "other.safetensors"
    save_file({"dit.nothing": torch.zeros(1)}, other)
    with pytest.raises(WeightsKeyError, match="nothing"):
        setup(other)
    monkeypatch.setattr(shipped, "WEIGHTS_SHA256", "0" * 64)
    with pytest.raises(WeightsHashError):
        setup("shipped")


def test_inference_needs_nothing_of_the_training_extra():
    program = (
        "import sys, flashdreams\n"
        "pipeline = flashdreams.load('pocket-racer', device='cpu')\n"
        "with pipeline.initialize_cache() as rollout:\n"
        "    pipeline.generate(0, rollout)\n"
        "print([name for name in sys.modules if name.split('.')[0] in ('gymnasium', 'Box2D')])\n"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def test_the_wheel_stays_small():
    assert shipped.WEIGHTS.stat().st_size + shipped.STARTS.stat().st_size <= 8_000_000
