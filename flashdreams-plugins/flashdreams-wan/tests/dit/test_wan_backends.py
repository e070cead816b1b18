"""The transformer over backends that read lengths on the device, and over keys and values in 8 bits."""

import pytest
import torch

from flashdreams.infra.config import derive_config
from flashdreams.testing.graph_readiness import record_rollouts
from flashdreams_wan.context.config import PromptSwitchEncoderConfig

SETTINGS = {
    "absolute": dict(window=8, sink=2),
    "window": dict(window=8, sink=2, rope_positions="window"),
    "guided": dict(window=6, guidance_scale=3.0),
}


def video(pipeline, controls=(None,) * 6):
    conditions = dict(prompts="a red fox", negative_prompt="blur", seed=7)
    with pipeline.initialize_cache(**conditions) as rollout:
        return torch.cat(list(pipeline.stream(rollout, controls)), dim=2)


@pytest.mark.parametrize("setting", SETTINGS)
def test_lengths_read_on_the_device_give_the_same_video(setting, tiny_pipeline):
    cut = video(tiny_pipeline(**SETTINGS[setting]))
    by_length = video(tiny_pipeline(attention_backend="masked", **SETTINGS[setting]))
    assert (by_length - cut).abs().max() <= 2e-5
    assert cut.std() > 0.5


@pytest.mark.parametrize("setting", SETTINGS)
def test_one_graph_then_serves_every_chunk(setting, tiny_pipeline):
    pipeline = tiny_pipeline(attention_backend="masked", **SETTINGS[setting])
    report = record_rollouts(pipeline, chunks=6, prompts="a red fox", negative_prompt="blur")
    assert not report.host_syncs
    assert [len(keys) for keys in report.keys_per_rollout] == [1, 1]
    assert not report.new_in_later_rollouts


@pytest.mark.parametrize("setting", SETTINGS)
def test_keys_and_values_in_8_bits_change_a_little(setting, tiny_pipeline):
    plain = video(tiny_pipeline(**SETTINGS[setting]))
    compact = video(tiny_pipeline(cache_dtype="float8_e4m3fn", **SETTINGS[setting]))
    assert 1e-4 < (compact - plain).norm() / plain.norm() < 0.1


@pytest.mark.parametrize("setting", ["absolute", "window"])
def test_a_new_prompt_is_applied_to_a_past_in_8_bits(setting, tiny_pipeline):
    changes = dict(encoder=PromptSwitchEncoderConfig(), **SETTINGS[setting])
    controls = [None, None, None, {"prompt": "a blue whale", "recache": True}, None, None]
    plain = video(tiny_pipeline(**changes), controls)
    compact = video(tiny_pipeline(cache_dtype="float8_e4m3fn", **changes), controls)
    assert 1e-4 < (compact - plain).norm() / plain.norm() < 0.1


@pytest.mark.parametrize("how", ["fp8", "fp8-weights", "int8-weights"])
def test_blocks_in_8_bits_change_a_little(how, tiny_pipeline):
    config = tiny_pipeline(width=32, mlp_width=64, window=6).config
    plain, changed = config.setup(), derive_config(config, quantise=how).setup()
    blocks = changed.diffusion_model.transformer.network.blocks
    linears = [part for part in blocks.modules() if type(part).__name__.endswith("Linear")]
    assert linears
    assert not [each for each in linears if type(each) is torch.nn.Linear]
    assert 1e-4 < (video(changed) - video(plain)).norm() / video(plain).norm() < 0.1
