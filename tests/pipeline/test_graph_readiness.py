"""What a CUDA graph needs, shown on the CPU, and the faults that these checks must find."""

import pytest
import torch

from flashdreams.infra.config import derive_config
from flashdreams.testing.fake_gpu import host_syncs_on_fake_gpu
from flashdreams.testing.graph_readiness import record_rollouts
from flashdreams.testing.toy import (
    ToyControlEncoder,
    ToyDecoder,
    ToyTransformer,
    ToyTransformerConfig,
    toy_pipeline_config,
)


def pipeline_with(transformer=None, **changes):
    config = derive_config(toy_pipeline_config(), diffusion_model=dict(transformer=changes))
    if transformer is not None:
        config.diffusion_model.transformer._target = transformer
    return config.setup()


def controls(index):
    return float(index)


@pytest.mark.parametrize("rope_positions", ["absolute", "window"])
@pytest.mark.parametrize("sink", [0, 2])
def test_keys_settle_when_the_window_is_full_and_serve_the_next_rollout(rope_positions, sink):
    pipeline = pipeline_with(rope_positions=rope_positions, sink=sink)
    report = record_rollouts(pipeline, chunks=12, controls=controls)
    fill_levels = ToyTransformerConfig().window // ToyTransformerConfig().chunk
    # The first chunk of a slot's life allocates the control's place; everything else is the fill level.
    assert len(report.keys_per_rollout[0]) == fill_levels
    assert report.new_in_later_rollouts == 0
    assert report.host_syncs == []


@pytest.mark.parametrize("rope_positions", ["absolute", "window"])
def test_no_host_sync_on_a_gpu_of_shapes_alone(rope_positions):
    pipeline = pipeline_with(rope_positions=rope_positions)
    rollout = pipeline.initialize_cache()
    list(pipeline.stream(rollout, [0.5] * 4))
    assert host_syncs_on_fake_gpu(pipeline, rollout) == []


class ConcatenatingTransformer(ToyTransformer):
    """Fault: a new cache tensor for every chunk."""

    def remember_chunk(self, latents, cache):
        cache.past.keys = cache.past.keys.clone()


class CountingTransformer(ToyTransformer):
    """Fault: a Python number that grows is baked into an operator."""

    def predict_flow(self, latents, timestep, cache, control):
        cache.chunks = getattr(cache, "chunks", 0) + 1
        return super().predict_flow(latents, timestep, cache, control) + cache.chunks * 1e-6


class ItemTransformer(ToyTransformer):
    """Fault: asks the device for a value."""

    def predict_flow(self, latents, timestep, cache, control):
        scale = 1.0 if timestep.item() > 500 else 0.5
        return super().predict_flow(latents, timestep, cache, control) * scale


class ListTransformer(ToyTransformer):
    """Fault: reads values through a list, which a CPU tensor gives away unnoticed."""

    def predict_flow(self, latents, timestep, cache, control):
        return super().predict_flow(latents, timestep, cache, control) * (1 + timestep.tolist()[0] / 1e6)


class CpuTransformer(ToyTransformer):
    """Fault: goes through host memory."""

    def predict_flow(self, latents, timestep, cache, control):
        flow = super().predict_flow(latents, timestep, cache, control)
        return flow.cpu().to(latents.device)


@pytest.mark.parametrize("mutant", [ConcatenatingTransformer, CountingTransformer])
def test_keys_that_never_settle_are_found(mutant):
    report = record_rollouts(pipeline_with(mutant), chunks=12, controls=controls)
    assert len(report.keys_per_rollout[0]) > 3


def test_an_item_is_found_on_the_cpu():
    report = record_rollouts(pipeline_with(ItemTransformer), chunks=2, controls=controls)
    assert any("_local_scalar_dense" in sync for sync in report.host_syncs)


@pytest.mark.parametrize("mutant", [ItemTransformer, ListTransformer, CpuTransformer])
def test_host_syncs_are_found_on_a_gpu_of_shapes_alone(mutant):
    pipeline = pipeline_with(mutant)
    rollout = pipeline.initialize_cache()
    list(pipeline.stream(rollout, [0.5] * 2))
    assert host_syncs_on_fake_gpu(pipeline, rollout) != []


class ListDecoder(ToyDecoder):
    """Fault: reads a value through a list."""

    def forward(self, latents, state):
        pixels, state = super().forward(latents, state)
        return pixels * (1 + latents.flatten()[0].tolist() / 1e6), state


def test_host_syncs_of_a_decoder_are_found_on_a_gpu_of_shapes_alone():
    config = toy_pipeline_config()
    config.decoder._target = ListDecoder
    pipeline = config.setup()
    rollout = pipeline.initialize_cache()
    list(pipeline.stream(rollout, [0.5] * 2))
    assert host_syncs_on_fake_gpu(pipeline, rollout) != []


class TwoShapesEncoder(ToyControlEncoder):
    """Allowed: encodings of two shapes, which take turns."""

    def forward(self, input, state):
        encoded, state = super().forward(input, state)
        return encoded.unsqueeze(0) if int(input) % 2 else encoded, state


def test_controls_of_two_shapes_keep_a_place_each():
    config = toy_pipeline_config()
    config.encoder._target = TwoShapesEncoder
    report = record_rollouts(config.setup(), chunks=12, controls=controls)
    assert 3 < len(report.keys_per_rollout[0]) <= 2 * 3
    assert report.new_in_later_rollouts == 0


class GrowingEncoder(ToyControlEncoder):
    """Fault: an encoding that grows."""

    def forward(self, input, state):
        encoded, state = super().forward(input, state)
        return encoded.repeat(1 + int(input)), state


class SummingTransformer(ToyTransformer):
    """Takes a control of any length."""

    def predict_flow(self, latents, timestep, cache, control):
        return super().predict_flow(latents, timestep, cache, control.sum(0, keepdim=True))


def test_a_control_that_grows_is_found():
    config = toy_pipeline_config()
    config.encoder._target = GrowingEncoder
    config.diffusion_model.transformer._target = SummingTransformer
    report = record_rollouts(config.setup(), chunks=12, controls=controls)
    assert len(report.keys_per_rollout[0]) > 6


def test_recording_leaves_the_pipeline_as_it_was(toy):
    with toy.initialize_cache() as rollout:
        before = toy.generate(0, rollout, input=1.0)
    record_rollouts(toy, chunks=2, controls=controls)
    with toy.initialize_cache() as rollout:
        assert torch.equal(before, toy.generate(0, rollout, input=1.0))
    assert "generate" not in vars(toy.diffusion_model)
