from __future__ import annotations

import copy
import subprocess
import sys

import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode

from flashdreams.infra.diffusion.scheduler.base import Scheduler, SchedulerConfig, warped
from flashdreams.infra.diffusion.scheduler.config import (
    FlowMatchEulerSchedulerConfig,
    FlowMatchSchedulerConfig,
    UniPCSchedulerConfig,
)

CONFIGS = [FlowMatchSchedulerConfig, FlowMatchEulerSchedulerConfig, UniPCSchedulerConfig]


@pytest.mark.parametrize("config", CONFIGS)
@pytest.mark.parametrize("cast", [torch.bfloat16, torch.float16, torch.float64])
def test_timesteps_stay_float32_whatever_the_model_is_cast_to(config, cast):
    scheduler = config().setup()
    before = scheduler.timesteps.clone()
    nn.Sequential(scheduler).to(cast)
    assert scheduler.timesteps.dtype == torch.float32
    assert torch.equal(scheduler.timesteps, before)


@pytest.mark.parametrize("config", CONFIGS)
def test_timesteps_follow_the_model_to_its_device(config):
    scheduler = config().setup()
    assert scheduler.to("meta").timesteps.device.type == "meta"


@pytest.mark.parametrize("config", CONFIGS)
def test_a_scheduler_built_on_meta_has_its_timesteps_once_it_is_given_memory(config):
    with torch.device("meta"):
        scheduler = config().setup()
    scheduler.to_empty(device="cpu")
    assert torch.equal(scheduler.timesteps, config().setup().timesteps)


@pytest.mark.parametrize("config", CONFIGS)
def test_a_scheduler_has_nothing_to_load(config):
    assert config().setup().state_dict() == {}


@pytest.mark.parametrize("config", CONFIGS)
def test_a_copy_has_timesteps_of_its_own(config):
    scheduler = config().setup()
    clone = copy.deepcopy(scheduler).to(torch.bfloat16)
    assert torch.equal(clone.timesteps, scheduler.timesteps)
    assert clone.timesteps.data_ptr() != scheduler.timesteps.data_ptr()


@pytest.mark.parametrize("config", CONFIGS)
def test_nothing_waits_for_the_device(config):
    # On a GPU made of shapes alone, any value that had to come to the host would raise.
    scheduler = config().setup()
    with FakeTensorMode():
        noise = [torch.empty(1, 2, 1, 4, 4, device="cuda") for _ in range(scheduler.draws)]
        latents, memory = noise[0], scheduler.start()
        for i in range(len(scheduler.sigmas) - 1):
            latents = scheduler.step(i, latents, latents, noise, memory)
    assert latents.device.type == "cuda"


def test_a_scheduler_of_ones_own_needs_step_alone():
    class Halfway(Scheduler):
        def __init__(self, config):
            super().__init__(config)
            self.set_timesteps([500.0])

        def step(self, i, flow, latents, noise, memory):
            return latents - 0.5 * flow

    scheduler = SchedulerConfig(_target=Halfway).setup()
    assert (scheduler.draws, scheduler.start(), scheduler.timesteps.tolist()) == (1, None, [500.0])
    with pytest.raises(NotImplementedError, match="Scheduler must implement step"):
        Scheduler(SchedulerConfig()).step(0, *[torch.zeros(1)] * 2, [], None)


def test_the_warp():
    assert [warped(s, 5.0) for s in (1.0, 0.75, 0.0)] == pytest.approx([1.0, 0.9375, 0.0])
    assert warped(0.3, 1.0) == 0.3


def test_the_configs_import_no_torch():
    code = "import sys, flashdreams.infra.diffusion.scheduler.config; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
