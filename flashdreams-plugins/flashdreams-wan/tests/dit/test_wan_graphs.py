"""What a CUDA graph needs: fixed addresses, few distinct steps, and a host that never waits."""

import pytest
import torch

from flashdreams.infra import state_tree
from flashdreams.testing.fake_gpu import host_syncs_on_fake_gpu
from flashdreams.testing.graph_readiness import record_rollouts
from flashdreams_wan.context.config import PromptSwitchEncoderConfig

SETTINGS = {
    "absolute": dict(),
    "window": dict(rope_positions="window", sink=2),
    "guided": dict(guidance_scale=2.0),
    "with an image": dict(image_width=12, image_tokens=5, condition_channels=3),
    "a clip at once": dict(chunk=6),
    "bfloat16": dict(dtype="bfloat16"),
}


def conditions(chunks):
    def drawn(*shape):
        return torch.randn(shape, generator=torch.Generator().manual_seed(0))

    everything = dict(image=drawn(1, 5, 12), condition=drawn(1, 3, 2 * chunks, 4, 6))
    return dict(prompts="a fox", negative_prompt="blur", **everything)


@pytest.mark.parametrize("setting", SETTINGS)
def test_keys_settle_and_serve_the_next_rollout(setting, tiny_pipeline):
    chunks = 1 if setting == "a clip at once" else 9
    pipeline = tiny_pipeline(**SETTINGS[setting])
    report = record_rollouts(pipeline, chunks=chunks, **conditions(9))
    assert len(report.keys_per_rollout[0]) == min(chunks, 3)  # the window's fill levels
    assert report.new_in_later_rollouts == 0
    assert report.host_syncs == []


def test_new_prompts_bring_no_new_keys_but_that_of_taking_them_for_final(tiny_pipeline):
    pipeline = tiny_pipeline(encoder=PromptSwitchEncoderConfig(), sink=2)
    controls = {4: "rain", 5: {"prompt": "snow", "recache": True}, 8: "sun"}
    report = record_rollouts(pipeline, chunks=10, controls=controls.get, **conditions(10))
    assert len(report.keys_per_rollout[0]) == 3 + 1
    assert report.new_in_later_rollouts == 0
    assert report.host_syncs == []


@pytest.mark.parametrize("setting", SETTINGS)
def test_no_host_sync_on_a_gpu_of_shapes_alone(setting, tiny_pipeline):
    pipeline = tiny_pipeline(**SETTINGS[setting])
    with pipeline.initialize_cache(**conditions(4)) as rollout:
        list(pipeline.stream(rollout, [None] * (1 if setting == "a clip at once" else 4)))
        assert host_syncs_on_fake_gpu(pipeline, rollout) == []


@pytest.mark.parametrize("setting", SETTINGS)
def test_every_tensor_of_a_cache_stays_where_it_is(setting, tiny_pipeline):
    pipeline = tiny_pipeline(encoder=PromptSwitchEncoderConfig(), **SETTINGS[setting])
    places = []
    for prompts in ("a fox", "a whale"):
        with pipeline.initialize_cache(**conditions(3) | dict(prompts=prompts)) as rollout:
            for index, control in enumerate([{"prompt": "rain", "recache": True}, None, "snow"]):
                if index and setting == "a clip at once":
                    break
                pipeline.generate(index, rollout, input=control)
                pipeline.finalize(index, rollout)
                places.append([t.data_ptr() for t in state_tree.tensors(rollout.slot.transformer)])
    assert all(each == places[0] for each in places)
