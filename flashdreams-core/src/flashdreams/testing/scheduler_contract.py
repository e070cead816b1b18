"""What a scheduler promises: levels that fall, steps that follow them, and nothing kept between chunks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise
from typing import Any, ClassVar

import torch
from torch import Tensor

from flashdreams.infra.diffusion.scheduler.base import Scheduler
from flashdreams.testing.component_contract import ComponentContract, KeepsToItself
from flashdreams.testing.component_tools import Call, distance, normal, plainly, waits_on_gpu
from flashdreams.testing.contract import broken, skip

SHAPE = (1, 4, 3, 16, 16)
"""Latents ``[B, C, T, H, W]``: enough values to measure a noise level to 2 %."""

Network = Callable[[Tensor, Tensor], Tensor]
"""Noisy latents and a timestep ``[1]`` to the flow."""


def some_network(latents: Tensor, timestep: Tensor) -> Tensor:
    """A smooth flow that depends on latents and timestep."""
    return (torch.tanh(latents.roll(1, 1) + timestep / 1000) - 0.3 * latents).to(latents.dtype)


def knowing(clean: Tensor) -> Network:
    """The network that knows the clean latents: its flow leads straight to them."""
    return lambda latents, timestep: (latents - clean) / (timestep / 1000)


def draws_of(
    scheduler: Scheduler, seed: int = 0, dtype: str = "float32", device: str = "cpu"
) -> list[Tensor]:
    """The noise draws of a chunk."""
    return [
        normal(*SHAPE, seed=100 * seed + draw + 1, dtype=dtype, device=device)
        for draw in range(scheduler.draws)
    ]


@torch.no_grad()
def sample(
    scheduler: Scheduler, network: Network, noise: Sequence[Tensor], call: Call = plainly, begun: Any = None
) -> list[Tensor]:
    """The latents before each denoising step, and after the last, as the pipeline's loop makes them."""
    memory, latents = scheduler.start() if begun is None else begun, [noise[0]]
    for i, timestep in enumerate(scheduler.timesteps.unsqueeze(1).unbind()):
        flow = network(latents[-1], timestep)
        latents.append(call(partial(scheduler.step, memory=memory), i, flow, latents[-1], list(noise)))
    return latents


class SchedulerBasics(ComponentContract):
    """What is wrong here makes everything else wrong."""

    kind: ClassVar[str] = "scheduler"
    base = Scheduler

    def exercise(
        self, part: Any, *, seed: int = 0, dtype: str = "float32", device: str = "cpu", call: Call = plainly
    ) -> Any:
        """One chunk, all steps."""
        return sample(part, some_network, draws_of(part, seed, dtype, device), call)

    def test_timesteps_fall_within_their_range(self) -> None:
        """One per step, float32, from noise to clean."""
        timesteps = self.part.timesteps
        told = timesteps.tolist()
        fine = timesteps.dtype == torch.float32 and timesteps.dim() == 1 and len(told) > 0
        falling = all(high >= low for high, low in pairwise(told))
        if not fine or not falling or not all(0 < t <= 1000 for t in told):
            broken(
                f"{self.name}.timesteps is {timesteps.dtype} {told[:8]}{'...' if len(told) > 8 else ''}.",
                "It is float32 [steps] in (0, 1000], from noise to clean: 1000 times each noise level.",
                "Call self.set_timesteps([1000 * sigma for sigma in levels]) in __init__, highest first.",
            )

    def test_it_asks_for_the_noise_that_it_takes(self) -> None:
        """``draws`` counts what the steps read."""
        noise = draws_of(self.part)
        try:
            sample(self.part, some_network, noise)
        except IndexError:
            broken(
                f"A step of {self.name} read beyond the {len(noise)} draws that it asks for.",
                "`draws` counts the noise draws of one chunk, the first included.",
                "Override the property draws, or read noise[0] to noise[draws - 1] only.",
            )
        for draw in range(1, len(noise)):
            others = draws_of(self.part)
            others[draw] = normal(*SHAPE, seed=99)
            made, other = (
                sample(self.part, some_network, given)[-1] for given in (draws_of(self.part), others)
            )
            if distance(made, other) == 0:
                broken(
                    f"{self.name} asks for {len(noise)} draws, and draw {draw} changes nothing.",
                    "`draws` counts the noise draws that one chunk takes; each costs time and memory.",
                    "Lower draws, or read them from the first to the last.",
                )

    def test_a_step_keeps_shape_and_dtype(self) -> None:
        """Whatever the dtype of the latents."""
        for dtype in self.dtypes:
            part = self.set_up().to(getattr(torch, dtype))
            noise = draws_of(part, dtype=dtype)
            for i, latents in enumerate(sample(part, some_network, noise)[1:]):
                if (latents.shape, latents.dtype) != (noise[0].shape, noise[0].dtype):
                    broken(
                        f"Step {i} of {self.name} made {list(latents.shape)} in {latents.dtype} of latents "
                        f"{list(SHAPE)} in {noise[0].dtype}.",
                        "A step returns latents in the shape and dtype of those that it is given.",
                        "Compute in float32 and end with .to(latents.dtype).",
                    )


class SchedulerContract(KeepsToItself, SchedulerBasics):
    """A scheduler, alone: ``class TestMyScheduler(SchedulerContract): component = "my-scheduler"``."""

    def test_timesteps_stay_float32_and_out_of_checkpoints(self) -> None:
        """In bfloat16, 998 and 1000 are the same."""
        part = self.set_up().to(torch.bfloat16)
        exact = distance(part.timesteps, self.part.timesteps) == 0 and part.timesteps.dtype == torch.float32
        if not exact or part.state_dict():
            broken(
                f"{self.name} cast to bfloat16 tells timesteps in {part.timesteps.dtype}, and its state_dict "
                f"holds {list(part.state_dict()) or 'nothing'}.",
                "Timesteps stay float32 whatever the model is cast to, and no checkpoint has them.",
                "Leave timesteps to set_timesteps; keep other levels as a tuple of floats, not as a tensor.",
            )

    def test_chunks_do_not_see_each_other(self) -> None:
        """Two rollouts take their steps in turn."""
        part, one = self.part, draws_of(self.part)
        other = [noise.flip(-1) for noise in one]
        alone = sample(part, some_network, one)[-1]
        memory, between = part.start(), part.start()

        def in_turn(step: Any, i: int, flow: Tensor, latents: Tensor, noise: list[Tensor]) -> Tensor:
            foreign = other[0] if i == 0 else steps.pop()
            steps.append(part.step(i, some_network(foreign, part.timesteps[i]), foreign, other, between))
            made: Tensor = step(i, flow, latents, noise)
            return made

        steps: list[Tensor] = []
        beside = sample(part, some_network, one, in_turn, memory)[-1]
        if distance(alone, beside) > 0:
            broken(
                f"A chunk is {distance(alone, beside):.3g} off when {self.name} steps another one in turn.",
                "Rollouts that live at once do not see each other; a chunk's memory is its own.",
                "Return a new object from start(), and keep what a step remembers in memory alone.",
            )

    def test_latents_lie_at_the_level_that_the_network_is_told(self) -> None:
        """Each step ends where the next one begins."""
        part, clean = self.part, normal(*SHAPE, seed=7)
        told = [*(part.timesteps / 1000).tolist(), 0.0]
        noisy = sample(part, knowing(clean), draws_of(part))
        for i, (latents, sigma) in enumerate(zip(noisy, told, strict=True)):
            if i == 0 or i == len(told) - 1:
                continue  # pure noise, whatever the first level is; and what is clean is another promise
            found = (latents - (1 - sigma) * clean).std().item()
            if abs(found - sigma) > 0.003 + 0.05 * sigma:
                broken(
                    f"After step {i - 1} of {self.name} the noise in the latents is {found:.3f}.",
                    f"The network is told timestep {1000 * sigma:.4g} next: a noise level of {sigma:.3f}, "
                    "where latents are (1 - sigma) * clean + sigma * noise.",
                    f"Let step {i - 1} end at the level of timesteps[{i}].",
                )

    def test_a_network_that_knows_the_video_gets_it(self) -> None:
        """After the last step the latents are clean."""
        clean = normal(*SHAPE, seed=7)
        apart = distance(sample(self.part, knowing(clean), draws_of(self.part))[-1], clean)
        if not apart <= self.tolerance:
            broken(
                f"{self.name} ends {apart:.3g} from the clean latents that its network knew.",
                f"After the last step the latents are clean, to {self.tolerance}: the flow is noise - clean, "
                "and is followed down to the level 0.",
                "Look at the sign of the step and at the level after the last: latents + (next - sigma) * "
                "flow.",
            )

    tolerance: ClassVar[float] = 0.02
    """How far from clean latents it may end with a perfect network; whole timesteps round by 0.001."""

    def test_no_step_waits_for_the_device(self) -> None:
        """So that a CUDA graph may hold all steps."""
        if not self.part.steps_in_graphs:
            skip(f"{self.name}.steps_in_graphs is False: each pass of the network has a graph of its own")

        def steps(part: Any) -> None:
            noise = [torch.empty(SHAPE, device="cuda") for _ in range(part.draws)]
            sample(part, lambda latents, timestep: latents * 0.5, noise)

        waits = waits_on_gpu(self.part, steps)
        if waits:
            broken(
                f"A step of {self.name} makes the host wait: {waits[0]}.",
                "With steps_in_graphs it reads no value of the device, and makes no tensor from host values.",
                "Work out coefficients as floats in __init__, and index them with i; or leave "
                "steps_in_graphs False.",
            )
