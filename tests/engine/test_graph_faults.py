"""Pipelines that a card would replay wrongly, each found and named without one."""

import pytest
import torch

from flashdreams.errors import GraphCaptureError, GraphFaultError
from flashdreams.testing.graph_replay import replay_rollouts
from flashdreams.testing.toy import ToyDecoder, ToyTransformer, toy_pipeline_config


def rollouts_of(transformer=ToyTransformer, decoder=ToyDecoder, **options):
    config = toy_pipeline_config()
    config.diffusion_model.transformer._target = transformer
    config.decoder._target = decoder
    return replay_rollouts(config.setup(), chunks=(6, 4), controls=float, **options)


def fault_of(kind=GraphFaultError, **mutant):
    with pytest.raises(kind) as caught:
        rollouts_of(**mutant)
    return caught.value


class Replacing(ToyTransformer):
    """Addresses: the cache is another tensor after every chunk; none is freed, so no address comes again."""

    def remember_chunk(self, latents, cache):
        cache.past.before = [*getattr(cache.past, "before", []), cache.past.keys]
        cache.past.keys = cache.past.keys.clone()


class EndlessKeys(ToyTransformer):
    """Keys: as many as there are chunks."""

    def graph_key(self, cache):
        return cache.past.index


class Waiting(ToyTransformer):
    """Host syncs: asks the device for a value."""

    def predict_flow(self, latents, timestep, cache, control):
        flow = super().predict_flow(latents, timestep, cache, control)
        return flow * (1.0 if timestep.item() > 500 else 0.5)


class Masking(ToyTransformer):
    """Host syncs: a mask decides how large the result is."""

    def predict_flow(self, latents, timestep, cache, control):
        flow = super().predict_flow(latents, timestep, cache, control)
        return flow + flow[flow > 0].sum()


class Hoarding(ToyTransformer):
    """Allocations: something is kept of every chunk."""

    def remember_chunk(self, latents, cache):
        cache.hoard = [*getattr(cache, "hoard", []), latents.clone()]


class Uploading(ToyTransformer):
    """Allocations: a tensor is made from a value of the host in every pass."""

    def predict_flow(self, latents, timestep, cache, control):
        return super().predict_flow(latents, timestep, cache, control) + torch.tensor([0.5])


class Stale(ToyTransformer):
    """Stale pointer: the pass reads a tensor, and begin_chunk puts another in its place."""

    def begin_chunk(self, cache, index):
        super().begin_chunk(cache, index)
        cache.scale = torch.full((1,), 1.0 + index)

    def predict_flow(self, latents, timestep, cache, control):
        return super().predict_flow(latents, timestep, cache, control) * cache.scale


class Branching(ToyTransformer):
    """Python branch: odd chunks run another operator."""

    def predict_flow(self, latents, timestep, cache, control):
        flow = super().predict_flow(latents, timestep, cache, control)
        return flow.neg() if cache.past.index % 2 else flow


class Counting(ToyTransformer):
    """New argument: a number of Python's that grows."""

    def predict_flow(self, latents, timestep, cache, control):
        flow = super().predict_flow(latents, timestep, cache, control)
        return flow + cache.past.index * 1e-3


class Leaving(ToyTransformer):
    """Fresh allocation read later: one stage leaves a tensor behind for another."""

    def predict_flow(self, latents, timestep, cache, control):
        flow = super().predict_flow(latents, timestep, cache, control)
        cache.last = flow
        return flow

    def remember_chunk(self, latents, cache):
        cache.context.add_(cache.last.mean())


class Drawing(ToyTransformer):
    """Random numbers: they would have to come from elsewhere."""

    def predict_flow(self, latents, timestep, cache, control):
        return super().predict_flow(latents, timestep, cache, control) + torch.randn(1)


class Accumulating(ToyTransformer):
    """Repetition: a pass that is run again goes on from where it was."""

    def predict_flow(self, latents, timestep, cache, control):
        flow = super().predict_flow(latents, timestep, cache, control)
        cache.past.values[:, :, -1:].add_(1.0)
        return flow


class GrowingDecoder(ToyDecoder):
    """Addresses: the state of the decoder is larger after every chunk."""

    def forward(self, latents, state):
        last = state if state is None else state[:, :, -1:]
        pixels, new = super().forward(latents, last)
        return pixels, new if state is None else torch.cat([state, new], dim=2)


def test_addresses_that_do_not_stay():
    fault = fault_of(transformer=Replacing)
    assert "'denoise' is captured after the warm-up" in fault.what
    assert "address" in fault.what


def test_a_state_that_grows():
    assert "'decode' is captured after the warm-up" in fault_of(decoder=GrowingDecoder).what


def test_keys_without_end():
    fault = fault_of(transformer=EndlessKeys)
    assert "captured after the warm-up: the values on the host are" in fault.what


@pytest.mark.parametrize(("mutant", "operator"), [(Waiting, "_local_scalar_dense"), (Masking, "aten.index.")])
def test_host_syncs(mutant, operator):
    fault = fault_of(GraphCaptureError, transformer=mutant)
    assert operator in fault.what
    assert f"{__file__}:" in fault.what
    assert "makes the host wait" in fault.what
    assert "free" in fault.right
    assert "1. " in fault.next
    assert "4. " in fault.next


def test_memory_that_is_kept_of_every_chunk():
    report = rollouts_of(transformer=Hoarding)
    assert len(report.kept) == (6 - 3) + (4 - 3)
    assert all("aten.clone" in name and f"{__file__}:" in name for name in report.kept)


def test_a_tensor_from_values_of_the_host():
    fault = fault_of(GraphCaptureError, transformer=Uploading)
    assert "lift_fresh" in fault.what
    assert f"{__file__}:" in fault.what


@pytest.mark.parametrize("checks", [True, False])
def test_a_stale_pointer(checks):
    fault = fault_of(transformer=Stale, checks=checks)
    assert "A stale pointer" in fault.what
    assert "aten.mul" in fault.what
    assert f"{__file__}:" in fault.what


def test_a_python_branch():
    fault = fault_of(transformer=Branching)
    assert "A Python branch" in fault.what
    assert "aten.neg" in fault.what
    assert f"{__file__}:" in fault.what


def test_a_python_branch_shows_in_the_values_too():
    assert rollouts_of(transformer=Branching, checks=False).differing


def test_a_new_argument():
    fault = fault_of(transformer=Counting)
    assert "A new argument" in fault.what
    assert f"{__file__}:" in fault.what


def test_a_fresh_allocation_that_is_read_later():
    fault = fault_of(GraphCaptureError, transformer=Leaving)
    assert "kept beyond the stage" in fault.what


def test_random_numbers():
    assert "random" in fault_of(GraphCaptureError, transformer=Drawing).what


def test_a_stage_that_cannot_be_repeated():
    assert "A replay leaves other values" in fault_of(transformer=Accumulating).what


def test_the_faultless_toy():
    report = rollouts_of()
    assert (report.differing, report.waits, report.kept) == ([], [], [])
