from __future__ import annotations

import pytest
import torch
from diffusers import FlowMatchEulerDiscreteScheduler
from torch import Tensor

from flashdreams.errors import FieldValueError
from flashdreams.infra.config import derive_config
from flashdreams.infra.diffusion.scheduler import config as torch_free
from flashdreams.infra.diffusion.scheduler.fm import FlowMatchScheduler, FlowMatchSchedulerConfig

SHAPE = (1, 2, 3, 4, 4)


def draws(count: int, seed: int = 0) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(SHAPE, generator=generator) for _ in range(count)]


def network(latents: Tensor, timestep: Tensor) -> Tensor:
    """Some smooth flow that depends on latents and timestep."""
    return torch.tanh(latents.roll(1, 1) + timestep / 1000) - 0.3 * latents


def sample(scheduler: FlowMatchScheduler, noise: list[Tensor]) -> Tensor:
    latents, memory = noise[0], scheduler.start()
    for i, timestep in enumerate(scheduler.timesteps.split(1)):
        latents = scheduler.step(i, network(latents, timestep), latents, noise, memory)
    return latents


def self_forcing_sample(listed: list[int], shift: float, noise: list[Tensor]) -> Tensor:
    """Self-Forcing as published: a table of 1000 warped levels, looked up by the nearest timestep."""
    sigmas = torch.linspace(1, 0, 1001, dtype=torch.float64)[:-1]
    sigmas = shift * sigmas / (1 + (shift - 1) * sigmas)
    table = torch.cat([sigmas * 1000, torch.zeros(1)])
    timesteps = table[1000 - torch.tensor(listed)]

    def sigma_of(timestep: Tensor) -> Tensor:
        return sigmas[(table[:-1] - timestep).abs().argmin()]

    latents = noise[0]
    for i, timestep in enumerate(timesteps):
        flow = network(latents, timestep.float())
        clean = (latents.double() - sigma_of(timestep) * flow.double()).float()
        if i == len(listed) - 1:
            return clean
        sigma = sigma_of(timesteps[i + 1])
        latents = ((1 - sigma) * clean + sigma * noise[i + 1]).float()
    raise AssertionError("the list is empty")


def test_the_default_levels_are_self_forcings():
    scheduler = FlowMatchSchedulerConfig().setup()
    expected = torch.tensor([1000, 937.5, 2500 / 3, 625], dtype=torch.float64)
    assert torch.tensor(scheduler.sigmas).numel() == 5
    torch.testing.assert_close(
        1000 * torch.tensor(scheduler.sigmas[:-1], dtype=torch.float64), expected, atol=1e-6, rtol=0
    )
    # float32 holds 833.3 to 3e-5.
    torch.testing.assert_close(scheduler.timesteps.double(), expected, atol=5e-5, rtol=0)
    assert scheduler.timesteps.dtype == torch.float32


def test_the_levels_are_those_of_diffusers():
    diffusers = FlowMatchEulerDiscreteScheduler(shift=5.0)
    diffusers.set_timesteps(sigmas=[1, 0.75, 0.5, 0.25])
    assert torch.equal(FlowMatchSchedulerConfig().setup().timesteps, diffusers.timesteps)


@pytest.mark.parametrize("listed", [[1000, 750, 500, 250], [1000, 900, 500], [700]])
@pytest.mark.parametrize("shift", [1.0, 5.0, 8.0])
def test_it_samples_as_self_forcing_does(listed, shift):
    noise = draws(len(listed))
    ours = sample(FlowMatchSchedulerConfig(denoising_timesteps=listed, shift=shift).setup(), noise)
    # float32 steps against float64 ones: 2.4e-7 measured at worst, on values up to 3.8.
    torch.testing.assert_close(ours, self_forcing_sample(listed, shift, noise), atol=2e-6, rtol=0)


def test_a_network_that_knows_the_clean_latents_gets_them_back():
    scheduler = FlowMatchSchedulerConfig().setup()
    noise, clean = draws(4), draws(1, seed=9)[0]
    latents = noise[0]
    for i, sigma in enumerate(scheduler.sigmas[:-1]):
        # At every level the latents are the straight path's, with draw i as its noise end. One rounding
        # of each product: 1.6e-7 measured.
        torch.testing.assert_close(latents, (1 - sigma) * clean + sigma * noise[i], atol=1e-6, rtol=0)
        latents = scheduler.step(i, noise[i] - clean, latents, noise, None)
    torch.testing.assert_close(latents, clean, atol=1e-6, rtol=0)


def test_it_takes_as_many_draws_as_steps():
    assert FlowMatchSchedulerConfig(denoising_timesteps=[1000, 500]).setup().draws == 2


def test_without_warp_the_levels_are_as_listed():
    scheduler = FlowMatchSchedulerConfig(denoising_timesteps=[1000, 900, 750, 500], warp=False).setup()
    assert scheduler.timesteps.tolist() == [1000, 900, 750, 500]
    assert scheduler.sigmas == (1.0, 0.9, 0.75, 0.5, 0.0)


def test_bfloat16_latents_are_stepped_in_float32_and_rounded_once():
    scheduler = FlowMatchSchedulerConfig().setup()
    noise = [draw.bfloat16() for draw in draws(4)]
    flow = draws(1, seed=3)[0].bfloat16()
    exact = scheduler.step(1, flow.float(), noise[0].float(), [n.float() for n in noise], None)
    assert torch.equal(scheduler.step(1, flow, noise[0], noise, None), exact.bfloat16())


def test_both_import_paths_give_the_same_config():
    assert FlowMatchSchedulerConfig is torch_free.FlowMatchSchedulerConfig


def test_a_number_of_steps_that_agrees_with_the_list():
    assert FlowMatchSchedulerConfig(num_inference_steps=4).num_inference_steps == 4


@pytest.mark.parametrize("build", [FlowMatchSchedulerConfig, derive_config])
def test_a_number_of_steps_that_disagrees_with_the_list_is_refused(build):
    base = [] if build is FlowMatchSchedulerConfig else [FlowMatchSchedulerConfig()]
    with pytest.raises(FieldValueError) as caught:
        build(*base, num_inference_steps=3)
    assert str(caught.value) == (
        "num_inference_steps is 3, and denoising_timesteps lists 4: [1000.0, 750.0, 500.0, 250.0].\n"
        "Each listed level is one step, so the two agree.\n"
        "Set num_inference_steps to None or 4, or list 3 levels."
    )


@pytest.mark.parametrize(
    "listed", [[], [500, 750], [1000, 1000], [1001], [1000, 0], [-5], [float("nan")], [1000, float("nan")]]
)
def test_levels_that_make_no_schedule_are_refused(listed):
    with pytest.raises(FieldValueError) as caught:
        FlowMatchSchedulerConfig(denoising_timesteps=listed)
    assert str(caught.value) == (
        f"denoising_timesteps is {listed}.\n"
        "It lists noise levels between 1000 (pure noise) and 0 (clean, not listed), highest first.\n"
        "Set it to [1000, 750, 500, 250], for instance."
    )
