"""Core's schedulers keep the contract."""

from flashdreams.infra.diffusion.scheduler.config import FlowMatchSchedulerConfig, UniPCSchedulerConfig
from flashdreams.testing.scheduler_contract import SchedulerContract


class TestFlowMatch(SchedulerContract):
    component = "flow-match"


class TestFlowMatchUnwarped(SchedulerContract):
    config = FlowMatchSchedulerConfig(denoising_timesteps=[1000, 900, 500], warp=False)


class TestEuler(SchedulerContract):
    component = "flow-match-euler"


class TestUniPC(SchedulerContract):
    component = "unipc"


class TestUniPCInFewSteps(SchedulerContract):
    config = UniPCSchedulerConfig(num_inference_steps=4, integer_timesteps=False)
