"""Components with one fault each, and the check that must be the first to fail for it.

pytest runs this file in a process of its own, for test_component_mutants.py: every class here fails.
"""

from dataclasses import dataclass, field
from typing import Any

import torch
from einops import rearrange
from torch import nn

from flashdreams.infra.decoder.config import StreamingDecoderConfig
from flashdreams.infra.diffusion.scheduler.base import Scheduler
from flashdreams.infra.diffusion.scheduler.fm import FlowMatchScheduler, FlowMatchSchedulerConfig
from flashdreams.infra.encoder.base import Encoder, EncoderConfig
from flashdreams.testing import DecoderContract, EncoderContract, SchedulerContract
from flashdreams.testing.toy import (
    ToyControlEncoder,
    ToyControlEncoderConfig,
    ToyDecoder,
    ToyDecoderConfig,
    ToyPromptEncoder,
    ToyPromptEncoderConfig,
)

CAUGHT_BY = {}
"""Mutant to the check that names its fault."""


def scheduler(check):
    return _mutant(check, SchedulerContract, FlowMatchSchedulerConfig)


def decoder(check):
    return _mutant(check, DecoderContract, ToyDecoderConfig)


def control_encoder(check):
    return _mutant(check, EncoderContract, ToyControlEncoderConfig, inputs=(0.0, 1.0))


def prompt_encoder(check):
    conditions = ({"prompts": ["a fox"]}, {"prompts": ["a hare"]})
    return _mutant(check, EncoderContract, ToyPromptEncoderConfig, conditions=conditions)


def _mutant(check, contract, config, **attributes):
    def declare(component):
        name = f"Test{component.__name__}"
        CAUGHT_BY[name] = check
        made = config(_target=component)
        globals()[name] = type(name, (contract,), {"config": made, "__module__": __name__, **attributes})
        return component

    return declare


# --- schedulers


@scheduler("test_it_is_what_its_place_takes")
class NoScheduler(Encoder):
    timesteps = torch.ones(1)


@scheduler("test_timesteps_fall_within_their_range")
class RisingTimesteps(FlowMatchScheduler):
    def __init__(self, config):
        super().__init__(config)
        self.set_timesteps([250, 500, 750, 1000])


@scheduler("test_it_asks_for_the_noise_that_it_takes")
class AsksForTooLittleNoise(FlowMatchScheduler):
    draws = 1


@scheduler("test_it_asks_for_the_noise_that_it_takes")
class AsksForTooMuchNoise(FlowMatchScheduler):
    draws = 5


@scheduler("test_a_step_keeps_shape_and_dtype")
class StepsInFloat32Alone(FlowMatchScheduler):
    def step(self, i, flow, latents, noise, memory=None):
        return super().step(i, flow.float(), latents.float(), noise, memory)


@scheduler("test_it_draws_no_random_numbers")
class DrawsItsOwnNoise(FlowMatchScheduler):
    def step(self, i, flow, latents, noise, memory=None):
        return super().step(i, flow, latents, noise, memory) + 1e-6 * torch.randn_like(latents)


@scheduler("test_running_leaves_it_unchanged")
class RemembersOnItself(FlowMatchScheduler):
    def step(self, i, flow, latents, noise, memory=None):
        self.last = latents
        return super().step(i, flow, latents, noise, memory)


@scheduler("test_what_it_is_given_stays_as_it_is")
class StepsInPlace(FlowMatchScheduler):
    def step(self, i, flow, latents, noise, memory=None):
        return latents.add_(super().step(i, flow, latents, noise, memory) - latents)


@scheduler("test_timesteps_stay_float32_and_out_of_checkpoints")
class CastsItsTimesteps(Scheduler):
    steps_in_graphs = True

    def __init__(self, config):
        super().__init__(config)
        self.register_buffer("timesteps", torch.tensor([998.0, 500.0]))

    def step(self, i, flow, latents, noise, memory=None):
        following = (self.timesteps[1] if i == 0 else self.timesteps[0] * 0) / 1000
        return (latents + (following - self.timesteps[i] / 1000) * flow).to(latents.dtype)


MEMORY = []


@scheduler("test_chunks_do_not_see_each_other")
class SharesItsMemory(FlowMatchScheduler):
    def start(self):
        return MEMORY

    def step(self, i, flow, latents, noise, memory):
        memory[:] = memory[-1:] if i else []
        moved = super().step(i, flow, latents, noise)
        memory.append(latents)
        return moved + 0.01 * (memory[0] - latents)


@scheduler("test_latents_lie_at_the_level_that_the_network_is_told")
class NoisesToTheWrongLevel(FlowMatchScheduler):
    def step(self, i, flow, latents, noise, memory=None):
        clean, following = latents - self.sigmas[i] * flow, self.sigmas[i + 1]
        return clean if following == 0 else clean + following * noise[i + 1]


@scheduler("test_a_network_that_knows_the_video_gets_it")
class StopsBeforeTheEnd(FlowMatchScheduler):
    def step(self, i, flow, latents, noise, memory=None):
        made = super().step(i, flow, latents, noise, memory)
        return made if self.sigmas[i + 1] > 0 else 0.9 * made + 0.1 * noise[i]


@scheduler("test_no_step_waits_for_the_device")
class ReadsItsLevelFromTheDevice(FlowMatchScheduler):
    def step(self, i, flow, latents, noise, memory=None):
        sigma = self.timesteps[i].item() / 1000
        if self.sigmas[i + 1] > 0:
            return super().step(i, flow, latents, noise, memory)
        return (latents - sigma * flow).to(latents.dtype)


@scheduler("test_no_step_waits_for_the_device")
class MakesItsLevelOnTheHost(FlowMatchScheduler):
    def step(self, i, flow, latents, noise, memory=None):
        one = torch.tensor([1.0], device=latents.device)
        return super().step(i, flow, latents, noise, memory) * one.to(latents.dtype)


# --- decoders


@decoder("test_pixels_have_the_size_and_range_that_the_config_says")
class BeyondTheRange(ToyDecoder):
    def forward(self, latents, state):
        pixels, state = super().forward(latents, state)
        return 1.5 * pixels, state


@decoder("test_pixels_have_the_size_and_range_that_the_config_says")
class TwiceAsLarge(ToyDecoder):
    def forward(self, latents, state):
        pixels, state = super().forward(latents, state)
        return pixels.repeat_interleave(2, -1), state


@decoder("test_chunks_have_as_many_frames_as_the_config_says")
class LosesTheFirstFrameOfEveryChunk(ToyDecoder):
    def forward(self, latents, state):
        pixels, state = super().forward(latents, state)
        return pixels[:, :, 1:], state


@decoder("test_setting_it_up_twice_gives_the_same_weights")
class UnseededWeights(ToyDecoder):
    def __init__(self, config):
        super().__init__(config)
        nn.init.normal_(self.mix.weight, std=0.1)


@decoder("test_it_draws_no_random_numbers")
class FilmGrain(ToyDecoder):
    def forward(self, latents, state):
        pixels, state = super().forward(latents, state)
        return (pixels + 1e-3 * torch.rand_like(pixels)).clamp(-1, 1), state


@decoder("test_running_leaves_it_unchanged")
class CountsFrames(ToyDecoder):
    frames = 0

    def forward(self, latents, state):
        self.frames += latents.shape[2]
        return super().forward(latents, state)


@decoder("test_running_leaves_it_unchanged")
class KeepsItsPastInABuffer(ToyDecoder):
    def __init__(self, config):
        super().__init__(config)
        self.register_buffer("past", torch.zeros(1), persistent=False)

    def forward(self, latents, state):
        self.past.copy_(latents.float().mean())
        return super().forward(latents, state)


@decoder("test_what_it_is_given_stays_as_it_is")
class WritesIntoTheState(ToyDecoder):
    def forward(self, latents, state):
        pixels, new = super().forward(latents, state)
        return pixels, new if state is None else state.copy_(new)


@decoder("test_the_same_input_makes_the_same_output")
class ReadsWhatItNeverWrote(ToyDecoder):
    def forward(self, latents, state):
        pixels, state = super().forward(latents, state)
        return (pixels + 1e-3 * next(TICKS)).clamp(-1, 1), state


def _ticks():
    tick = 0
    while True:
        tick += 1
        yield tick % 5


TICKS = _ticks()


@decoder("test_its_tensors_follow_it_to_its_device")
class PlainTensor(ToyDecoder):
    def __init__(self, config):
        super().__init__(config)
        self.gain = torch.full((1,), 0.5)

    def forward(self, latents, state):
        pixels, state = super().forward(latents, state)
        return pixels * self.gain.to(pixels.dtype), state


@control_encoder("test_its_tensors_follow_it_to_its_device")
class PlainTensorBesideAParameter(ToyControlEncoder):
    def __init__(self, config):
        super().__init__(config)
        self.gain, self.offset = nn.Parameter(torch.ones(1)), torch.zeros(1)


@decoder("test_pixels_have_the_dtype_of_latents")
class PixelsInFloat32(ToyDecoder):
    def forward(self, latents, state):
        pixels, state = super().forward(latents, state)
        return pixels.float(), state


@decoder("test_it_works_in_every_dtype")
class PadsWithFloat32(ToyDecoder):
    def forward(self, latents, state):
        before = torch.zeros_like(latents[:, :, :1]) if state is None else state
        padded = torch.cat([torch.zeros(before.shape, device=before.device) + before, latents], dim=2)
        pixels, _ = super().forward(padded[:, :, 1:], padded[:, :, :1])
        return pixels, latents[:, :, -1:].clone()


@decoder("test_other_latents_make_other_pixels")
class ZeroHead(ToyDecoder):
    def __init__(self, config):
        super().__init__(config)
        nn.init.zeros_(self.mix.weight)


@decoder("test_the_state_keeps_its_shape")
class GrowingCache(ToyDecoder):
    def forward(self, latents, state):
        pixels, last = super().forward(latents, None if state is None else state[:, :, -1:])
        return pixels, last if state is None else torch.cat([state, last], dim=2)


@decoder("test_the_state_keeps_its_shape")
class CountsInTheState(ToyDecoder):
    def forward(self, latents, state):
        last, count = (None, 0) if state is None else state
        pixels, last = super().forward(latents, last)
        return pixels, (last, count + 1)


@decoder("test_later_latents_change_no_earlier_pixels")
class LooksAhead(ToyDecoder):
    def forward(self, latents, state):
        pixels, state = super().forward(latents, state)
        ahead = torch.cat([pixels[:, :, 1:], pixels[:, :, -1:]], dim=2)
        return (pixels + ahead) / 2, state


@decoder("test_decoding_in_chunks_is_decoding_the_whole")
class ForgetsThePast(ToyDecoder):
    def forward(self, latents, state):
        return super().forward(latents, None if state is None else torch.zeros_like(state))


@decoder("test_decoding_in_chunks_is_decoding_the_whole")
class FadesInEveryChunk(ToyDecoder):
    def forward(self, latents, state):
        pixels, state = super().forward(latents, state)
        steps = torch.arange(1, pixels.shape[2] + 1, device=pixels.device, dtype=pixels.dtype)
        return pixels * (1 - 0.01 / steps)[:, None, None], state


@decoder("test_videos_of_a_batch_do_not_see_each_other")
class NormsOverTheBatch(ToyDecoder):
    def forward(self, latents, state):
        pixels, state = super().forward(latents, state)
        mean = pixels.mean(dim=(0, 1, 3, 4), keepdim=True)
        return ((pixels - 0.1 * mean) / 1.1).clamp(-1, 1), state


@decoder("test_a_gpu_would_not_wait_for_the_host")
class ForgetsTheDevice(ToyDecoder):
    def forward(self, latents, state):
        pixels, state = super().forward(latents, state)
        return pixels * torch.ones(pixels.shape[-1], dtype=pixels.dtype), state


@decoder("test_a_gpu_would_not_wait_for_the_host")
class AsksHowBrightItIs(ToyDecoder):
    def forward(self, latents, state):
        pixels, state = super().forward(latents, state)
        return pixels / max(1.0, pixels.abs().max().item()), state


@decoder("test_a_gpu_would_not_wait_for_the_host")
class BranchesOnATensor(ToyDecoder):
    def forward(self, latents, state):
        pixels, state = super().forward(latents, state)
        return (pixels.clamp(-1, 1) if pixels.isnan().any() else pixels), state


class Generations:
    """An object of its own in which a module hides what it keeps."""

    def __init__(self):
        self.outside = {}


HIDDEN = Generations()


@decoder("test_later_chunks_are_the_same_work")
class OtherWorkEveryChunk(ToyDecoder):
    def forward(self, latents, state):
        HIDDEN.outside["calls"] = calls = HIDDEN.outside.get("calls", 0) + 1
        pixels, state = super().forward(latents, state)
        for _ in range(calls % 3):
            pixels = pixels.clamp(-1, 1)
        return pixels, state


@dataclass(kw_only=True)
class TwoFramesConfig(StreamingDecoderConfig):
    _target: Any = field(default_factory=lambda: OneFrameTooMany)
    spatial_compression: int = 1
    temporal_compression: int = 2
    latent_channels: int = 3

    @property
    def first_frames(self):
        return 1


class OneFrameTooMany(ToyDecoder):
    """A first latent frame that gives two pixel frames, where the config says one."""

    def __init__(self, config):
        nn.Module.__init__(self)
        self.config = config

    def forward(self, latents, state):
        return torch.tanh(latents).repeat_interleave(2, dim=2), latents[:, :, -1:].clone()


class TestOneFrameTooMany(DecoderContract):
    config = TwoFramesConfig()


CAUGHT_BY["TestOneFrameTooMany"] = "test_chunks_have_as_many_frames_as_the_config_says"


# --- encoders


@control_encoder("test_it_encodes_what_it_is_given")
class ReturnsAnObject(ToyControlEncoder):
    def forward(self, input, state):
        return object(), state


@control_encoder("test_no_input_is_an_input_too")
class NeedsAControl(ToyControlEncoder):
    def forward(self, input, state):
        return super().forward(input + 0.0, state)


@control_encoder("test_running_leaves_it_unchanged")
class RemembersControls(ToyControlEncoder):
    def __init__(self, config):
        super().__init__(config)
        self.seen = []

    def forward(self, input, state):
        self.seen.append(input)
        return super().forward(input, state)


@control_encoder("test_what_it_is_given_stays_as_it_is")
class SmoothsInPlace(ToyControlEncoder):
    def forward(self, input, state):
        control, new = super().forward(input, state)
        return control, new if state is None else state.mul_(0.5).add_(new, alpha=0.5)


@control_encoder("test_other_inputs_make_other_encodings")
class IgnoresControls(ToyControlEncoder):
    def forward(self, input, state):
        return super().forward(0.0, state)


@control_encoder("test_encodings_have_one_shape")
class AsLongAsItIsLarge(ToyControlEncoder):
    def forward(self, input, state):
        control, state = super().forward(input, state)
        return control.expand(1 + int(input or 0)).clone(), state


@control_encoder("test_the_state_keeps_its_shape")
class KeepsEveryControl(ToyControlEncoder):
    def forward(self, input, state):
        control, last = super().forward(input, None if state is None else state[-1:])
        return control, last if state is None else torch.cat([state, last])


@prompt_encoder("test_it_takes_the_conditions_that_it_declares")
class DeclaresNothing(ToyPromptEncoder):
    takes = frozenset()


@prompt_encoder("test_videos_of_a_batch_do_not_see_each_other")
class CentresTheBatch(ToyPromptEncoder):
    def forward(self, conditions):
        encoded = super().forward(conditions)
        return encoded - 0.1 * encoded.mean(dim=0)


@dataclass(kw_only=True)
class ShiftedConfig(EncoderConfig):
    _target: Any = field(default_factory=lambda: Shifted)


class Shifted(Encoder):
    """Weights that another process draws otherwise."""

    def __init__(self, config):
        super().__init__(config)
        self.shift = nn.Parameter(torch.randn(1))

    def forward(self, input):
        return rearrange(torch.tensor([0.0 if input is None else input]), "b -> 1 b") + self.shift


class TestShifted(EncoderContract):
    config = ShiftedConfig()
    inputs = (0.0, 1.0)


CAUGHT_BY["TestShifted"] = "test_setting_it_up_twice_gives_the_same_weights"
