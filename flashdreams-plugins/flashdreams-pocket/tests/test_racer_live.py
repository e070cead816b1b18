"""pocket-racer as somebody at a page steers it, and several of them at once."""

import json

import pytest
import torch

from flashdreams.errors import ControlError
from flashdreams.infra.config import derive_config
from flashdreams.infra.pipeline.together import Together
from flashdreams.io.images import as_pixels
from flashdreams_pocket.config import POCKET_RACER
from flashdreams_pocket.controls import parse_script
from flashdreams_pocket.shipped import load_start, start_names

CHUNKS = 14
"""The window holds 12."""
LATENTS, PIXELS = 1e-5, 5e-5
"""Largest differences in a batch from alone; 0 and 3e-6 were measured, the largest latents being about 4."""


@pytest.fixture(scope="module")
def racer():
    return derive_config(POCKET_RACER, pipeline=dict(slots=4)).setup()


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


def test_wheel_and_pedals_are_held_as_the_words_of_a_script_hold_them(racer):
    steering = racer.steering()
    assert [axis.name for axis in steering.axes] == ["steer", "gas", "brake"]
    assert racer.steered(steering.rest) == (0.0, 0.0, 0.0)
    keys = {key: {axis.name: value} for axis in steering.axes for key, value in axis.keys.items()}
    pressed = {"ArrowLeft": "left", "KeyD": "right", "ArrowUp": "gas", "Space": "brake"}
    for key, word in pressed.items():
        assert racer.steered({**steering.rest, **keys[key]}) == pytest.approx(parse_script(word)[0])
    with pytest.raises(ControlError):
        steering.checked({"gas": -0.5})
    assert json.loads(json.dumps(steering.as_tree())) == steering.as_tree()


def test_the_start_of_the_config_comes_first_and_describing_builds_nothing(racer):
    assert sorted(racer.steering().starts) == start_names()
    assert racer.steering().starts[0] == "straight"
    bend = derive_config(POCKET_RACER, first_frame="left-bend").setup()
    assert bend.steering().starts[0] == "left-bend"
    assert bend.opening(seed=1) == {"first_frame": "left-bend", "seed": 1}
    assert bend.opening(seed=1, start="grid") == {"first_frame": "grid", "seed": 1}
    assert "pipeline" not in vars(bend)


def test_a_drive_may_begin_with_an_image(racer):
    image = as_pixels(load_start("grid").frames[-1].numpy())
    with racer.pipeline.initialize_cache(**racer.opening(seed=0, start=image)) as rollout:
        chunk = racer.pipeline.generate(0, rollout, input=racer.steered(racer.steering().rest))
    assert (chunk - image).abs().mean() < 0.1


def control(seed, index):
    return ((-1) ** seed * 0.1 * (index % 5), 0.2 * seed, 0.0)


def begin(racer, seed):
    return racer.pipeline.initialize_cache(**racer.opening(seed=seed, start=racer.steering().starts[seed]))


def alone(racer, seed):
    made = []
    with begin(racer, seed) as rollout:
        for index in range(CHUNKS):
            chunk = racer.pipeline.generate(index, rollout, input=control(seed, index))
            made.append((rollout.pending.latents, chunk))
            racer.pipeline.finalize(index, rollout)
    return made


@pytest.mark.parametrize("drivers", [2, 3])
def test_drives_together_equal_the_same_alone(racer, drivers):
    """With the engine of a run, whose straight lines know slots."""
    expected = [alone(racer, seed) for seed in range(drivers)]
    rollouts = [begin(racer, seed) for seed in range(drivers)]
    together = Together(racer.pipeline)
    for index in range(CHUNKS):
        if index == 5:  # one chunk each for itself
            chunks = [
                racer.pipeline.generate(index, rollout, input=control(seed, index))
                for seed, rollout in enumerate(rollouts)
            ]
        else:
            assert together.can_join(rollouts)
            chunks = together.generate(rollouts, [control(seed, index) for seed in range(drivers)])
        for seed, (rollout, chunk) in enumerate(zip(rollouts, chunks, strict=True)):
            latents, pixels = expected[seed][index]
            assert (rollout.pending.latents - latents).abs().max() <= LATENTS
            assert (chunk - pixels).abs().max() <= PIXELS
        together.finalize(rollouts)
    for rollout in rollouts:
        rollout.close()


def test_drives_that_have_seen_different_lengths_of_road_do_not_join(racer):
    """A clip is four frames, and an image one: attention of the two sees different lengths."""
    image = as_pixels(load_start("grid").frames[-1].numpy())
    with begin(racer, 0) as clip, racer.pipeline.initialize_cache(first_frame=image) as still:
        assert not Together(racer.pipeline).can_join([clip, still])
