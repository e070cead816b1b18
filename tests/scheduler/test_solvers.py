"""Euler and UniPC against diffusers, against Wan's published levels, and against an ODE that is solved."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch
from diffusers import FlowMatchEulerDiscreteScheduler, UniPCMultistepScheduler
from torch import Tensor

from flashdreams.errors import FieldValueError
from flashdreams.infra.diffusion.scheduler import config as torch_free
from flashdreams.infra.diffusion.scheduler.base import Scheduler
from flashdreams.infra.diffusion.scheduler.euler import FlowMatchEulerSchedulerConfig
from flashdreams.infra.diffusion.scheduler.unipc import UniPCScheduler, UniPCSchedulerConfig

SOLVERS = [FlowMatchEulerSchedulerConfig, UniPCSchedulerConfig]


def first_latents(seed: int = 0) -> Tensor:
    return torch.randn(1, 4, 2, 3, 3, generator=torch.Generator().manual_seed(seed))


def network(latents: Tensor, timestep: Tensor) -> Tensor:
    """Some smooth flow that depends on latents and timestep."""
    return torch.tanh(latents.roll(1, 1) + timestep / 1000) - 0.3 * latents


def sample(scheduler: Scheduler, latents: Tensor) -> Tensor:
    memory = scheduler.start()
    for i, timestep in enumerate(scheduler.timesteps.split(1)):
        latents = scheduler.step(i, network(latents, timestep), latents, [], memory)
    return latents


def diffusers_sample(scheduler, latents: Tensor) -> Tensor:
    for timestep in scheduler.timesteps:
        flow = network(latents, timestep.float())
        latents = scheduler.step(flow, timestep, latents, return_dict=False)[0]
    return latents


@pytest.mark.parametrize("steps", [1, 4, 25])
@pytest.mark.parametrize("shift", [1.0, 3.0, 5.0])
def test_euler_is_diffusers_euler(steps, shift):
    diffusers = FlowMatchEulerDiscreteScheduler(shift=shift)
    diffusers.set_timesteps(sigmas=torch.linspace(1, 1 / steps, steps, dtype=torch.float64).numpy())
    ours = FlowMatchEulerSchedulerConfig(num_inference_steps=steps, shift=shift).setup()
    # Float64 rounded once against arithmetic in float32: two units in the last place, 1.2e-4, measured.
    torch.testing.assert_close(ours.timesteps, diffusers.timesteps, atol=3e-4, rtol=0)
    # 7.2e-7 measured at worst, after 25 steps.
    torch.testing.assert_close(
        sample(ours, first_latents()), diffusers_sample(diffusers, first_latents()), atol=3e-6, rtol=0
    )


@pytest.mark.parametrize("steps", [1, 2, 3, 8, 25])
@pytest.mark.parametrize("shift", [1.0, 3.0, 8.0])
def test_unipc_is_diffusers_algorithm_on_diffusers_levels(steps, shift):
    diffusers = UniPCMultistepScheduler(
        prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=shift, solver_order=2
    )
    diffusers.set_timesteps(steps)
    # It truncates its timesteps; its levels are what they were made from.
    diffusers.timesteps = 1000 * diffusers.sigmas[:-1]
    ours = UniPCSchedulerConfig(num_inference_steps=steps, integer_timesteps=False).setup()
    ours.use_sigmas(diffusers.sigmas[:-1].double().tolist())
    # Weights in float64 against steps in float32: 2.4e-6 measured at worst, on values up to 3.3.
    torch.testing.assert_close(
        sample(ours, first_latents()), diffusers_sample(diffusers, first_latents()), atol=1e-5, rtol=0
    )


# What Wan's published FlowUniPCMultistepScheduler makes of set_timesteps(steps, shift=shift).
WAN_50_STEPS_SHIFT_5 = """
999 995 991 987 982 978 973 968 963 957 952 946 940 934 927 920 913 906 898 890 882 873 863 854 843 833
821 809 796 783 768 753 737 720 701 681 660 636 611 584 555 522 487 448 405 356 302 241 172 92
"""
WAN_9_STEPS_SHIFT_1 = "999 888 777 666 555 444 333 222 111"  # 0.999 in float64 would say 665


@pytest.mark.parametrize(
    ("steps", "shift", "published"), [(50, 5.0, WAN_50_STEPS_SHIFT_5), (9, 1.0, WAN_9_STEPS_SHIFT_1)]
)
def test_unipcs_timesteps_are_those_of_wans_published_code(steps, shift, published):
    timesteps = UniPCSchedulerConfig(num_inference_steps=steps, shift=shift).setup().timesteps
    assert timesteps.tolist() == [int(t) for t in published.split()]


def test_unipcs_levels_are_even_before_the_shift():
    scheduler = UniPCSchedulerConfig(num_inference_steps=4, shift=5.0).setup()
    even = [0.999 * (1 - i / 4) for i in range(5)]
    # 0.999 in float32 is 1.3e-8 above 0.999.
    assert scheduler.sigmas == pytest.approx([5 * s / (1 + 4 * s) for s in even], abs=2e-8)


def test_timesteps_need_not_be_whole():
    scheduler = UniPCSchedulerConfig(num_inference_steps=4, integer_timesteps=False).setup()
    assert scheduler.timesteps.tolist() == pytest.approx([1000 * s for s in scheduler.sigmas[:-1]], abs=1e-4)
    assert any(t % 1 for t in scheduler.timesteps.tolist())


# For Gaussian data the flow is known in closed form, and so is where it leads.
MEAN, SPREAD = 0.7, 0.5


def spread(sigma: float) -> float:
    return math.hypot((1 - sigma) * SPREAD, sigma)


def gaussian_flow(x: Tensor, sigma: float) -> Tensor:
    slope = (sigma - (1 - sigma) * SPREAD**2) / spread(sigma) ** 2
    return slope * (x - (1 - sigma) * MEAN) - MEAN


def gaussian_error(scheduler) -> float:
    z = torch.linspace(-2, 2, 9).view(1, 1, 1, 1, 9)
    sigma = scheduler.sigmas[0]
    x, memory = (1 - sigma) * MEAN + spread(sigma) * z, scheduler.start()
    for i, sigma in enumerate(scheduler.sigmas[:-1]):
        x = scheduler.step(i, gaussian_flow(x, sigma), x, [], memory)
    return float((x - (MEAN + SPREAD * z)).abs().max())


@pytest.mark.parametrize(("config", "order"), [(FlowMatchEulerSchedulerConfig, 1), (UniPCSchedulerConfig, 2)])
def test_half_the_step_leaves_half_or_a_quarter_of_the_error(config, order):
    errors = [gaussian_error(config(num_inference_steps=n, shift=1.0).setup()) for n in (40, 80, 160)]
    for coarse, fine in pairwise(errors):
        # Measured: 1.98 and 1.99 for Euler, 4.15 and 4.24 for UniPC; the errors, 1e-4 at least, are far
        # above float32's rounding.
        assert coarse / fine == pytest.approx(2**order, rel=0.1)


def test_unipc_is_the_more_exact_at_equal_steps():
    euler, unipc = (gaussian_error(c(num_inference_steps=20, shift=1.0).setup()) for c in SOLVERS)
    assert unipc < euler / 5  # 7.9e-3 against 7.2e-2 measured


def test_two_interleaved_chunks_do_not_disturb_each_other():
    scheduler = UniPCSchedulerConfig(num_inference_steps=6).setup()
    latents = [first_latents(0), first_latents(1)]
    alone = [sample(scheduler, x) for x in latents]
    memories = [scheduler.start(), scheduler.start()]
    for i, timestep in enumerate(scheduler.timesteps.split(1)):
        for chunk in (0, 1):
            flow = network(latents[chunk], timestep)
            latents[chunk] = scheduler.step(i, flow, latents[chunk], [], memories[chunk])
    assert torch.equal(latents[0], alone[0])
    assert torch.equal(latents[1], alone[1])


@pytest.mark.parametrize("config", SOLVERS)
def test_bfloat16_latents_are_stepped_in_float32_and_rounded_once(config):
    scheduler = config(num_inference_steps=5).setup()
    rounded, exact = scheduler.start(), scheduler.start()
    latents = first_latents().bfloat16()
    for i in range(5):
        flow = first_latents(i + 1).bfloat16()
        after = scheduler.step(i, flow, latents, [], rounded)
        assert torch.equal(after, scheduler.step(i, flow.float(), latents.float(), [], exact).bfloat16())
        latents = after


@pytest.mark.parametrize("config", SOLVERS)
def test_one_draw_is_enough(config):
    assert config(num_inference_steps=3).setup().draws == 1


def test_both_import_paths_give_the_same_configs():
    assert FlowMatchEulerSchedulerConfig is torch_free.FlowMatchEulerSchedulerConfig
    assert UniPCSchedulerConfig is torch_free.UniPCSchedulerConfig
    assert isinstance(UniPCSchedulerConfig().setup(), UniPCScheduler)


@pytest.mark.parametrize("config", SOLVERS)
def test_no_steps_at_all_are_refused(config):
    with pytest.raises(FieldValueError) as caught:
        config(num_inference_steps=0)
    assert str(caught.value) == (
        "num_inference_steps is 0.\n"
        "There is at least one denoising step.\n"
        "Set num_inference_steps to 50, for instance."
    )


@pytest.mark.parametrize("config", [*SOLVERS, torch_free.FlowMatchSchedulerConfig])
@pytest.mark.parametrize("shift", [0.0, -1.0, math.inf, math.nan])
def test_a_shift_that_is_not_positive_is_refused(config, shift):
    with pytest.raises(FieldValueError) as caught:
        config(shift=shift)
    assert str(caught.value) == (
        f"shift is {shift}.\n"
        "A shift is a positive number: 1 leaves the noise levels as they are, more moves them up.\n"
        "Set shift to 5, for instance."
    )
