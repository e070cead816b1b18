"""FLOPs, bytes moved, weights and keys and values, against closed forms."""

import pytest
import torch

from flashdreams.infra.config import derive_config
from flashdreams.plan import plan_of
from flashdreams.plugins.registry import installed_registry

FLOAT = 4


def passes(plan):
    return {each.name: each for each in plan.passes}


def toy_pass_flops(keys, *, tokens=32, width=16, layers=2, batch=1):
    """Two FLOPs for each weight and token, and two products of attention."""
    block = 3 * width + width + 4 * width
    weights = 4 * width + layers * block * width + width * 4
    condition = (16 + 2) * width
    attention = layers * 2 * tokens * keys * width
    return 2 * batch * (tokens * weights + condition + attention)


def toy_decode_flops(latent_frames=2, side=4):
    return 2 * latent_frames * side * side * (4 * 2) * 12


@pytest.mark.parametrize("window", [2, 4, 6, 12])
def test_flops_of_the_toy_are_those_of_its_layers(toy_config, window):
    plan = plan_of(toy_config(transformer=dict(window=window)))
    step, finalize, decode = (passes(plan)[name] for name in ("step", "finalize", "decode"))
    assert step.first.flops == finalize.first.flops == toy_pass_flops(keys=32)
    assert step.full.flops == finalize.full.flops == toy_pass_flops(keys=16 * window)
    assert decode.first.flops == decode.full.flops == toy_decode_flops()
    assert (step.times, finalize.times, decode.times, passes(plan)["context"].times) == (2, 1, 1, 0)
    assert plan.per_chunk().flops == 3 * step.full.flops + decode.full.flops


def test_flops_follow_size_batch_and_steps(toy_config):
    config = toy_config(height=16, width=8)
    config.pipeline.diffusion_model.scheduler.denoising_timesteps = [1000, 750, 500, 250]
    plan = plan_of(config, batch_size=3)
    assert (plan.size.steps, plan.size.batch_size) == (4, 3)
    assert passes(plan)["step"].times == 4
    assert passes(plan)["step"].full.flops == toy_pass_flops(keys=32 * 6, tokens=64, batch=3)


def racer_flops(keys, tokens=16, width=256, layers=6):
    block = 3 * width + width + 8 * width
    per_token = 64 * width + layers * block * width + 32 * width
    per_frame = (128 + width + 21 + width) * width + width * 6 * width
    return 2 * (tokens * per_token + per_frame + layers * 2 * tokens * keys * width)


def conv_flops(cells, given, made):
    return 2 * cells * 9 * given * made


def test_flops_of_pocket_racer_are_those_of_its_layers():
    plan = plan_of(installed_registry().runner_config("pocket-racer"))
    # A dream starts from a clip that fills the window, so its first chunk sees as much as any.
    assert passes(plan)["step"].first.flops == passes(plan)["step"].full.flops == racer_flops(keys=12 * 16)
    decoder = (
        conv_flops(64, 8, 96) + 4 * conv_flops(64, 96, 96) + conv_flops(64, 96, 4 * 64)
        + 4 * conv_flops(256, 64, 64) + conv_flops(256, 64, 4 * 48)
        + 2 * conv_flops(1024, 48, 48) + conv_flops(1024, 48, 12)
    )  # fmt: skip
    assert passes(plan)["decode"].full.flops == decoder
    weights = {each.part: each.parameters for each in plan.weights}
    assert weights["transformer"] == 64 * 256 + 256 + 6 * (12 * 256 * 256 + 2 * 64 + 6 * 256) + 2 * 256 + (
        128 * 256 + 256 + 256 * 256 + 256 + 21 * 256 + 256 + 256 * 256 + 256 + 256 * 1536 + 1536
        + 256 * 32 + 32
    )  # fmt: skip


@pytest.mark.parametrize(("dtype", "size"), [("float32", 4), ("bfloat16", 2), ("float16", 2)])
def test_weights_keys_and_noise_take_what_their_shapes_say(toy_config, dtype, size):
    config = toy_config(dtype=dtype, transformer=dict(width=64, heads=4, layers=3, window=8))
    plan = plan_of(config, batch_size=2)
    real = config.pipeline.setup()
    parts = {"transformer": real.diffusion_model.transformer, "decoder": real.decoder}
    for each in (each for each in plan.weights if each.part in parts):
        tensors = list(parts[each.part].parameters())
        assert each.parameters == sum(t.numel() for t in tensors)
        assert each.bytes == size * each.parameters
    keys_and_values = 2 * 3 * 2 * (8 * 16) * 64 * size
    indices = 8 * (32 + 32 + 2 + 8 + 8) + 4 * 2
    assert plan.memory.kv_cache == keys_and_values + indices
    assert plan.memory.noise == 2 * 2 * (4 * 2 * 4 * 4) * size
    carried, clean = 2 * (2 * 4 * 1 * 4 * 4), 2 * (2 * 4 * 2 * 4 * 4)
    assert plan.memory.states == (carried + clean) * size + 4 * FLOAT  # control and timestep are float32


def test_fewest_bytes_are_weights_once_and_what_is_read_and_written(toy_config):
    plan = plan_of(toy_config())
    timesteps = 2 * FLOAT
    weights = next(each for each in plan.weights if each.part == "transformer").bytes + timesteps
    one_frame = 2 * 2 * 16 * 16 * FLOAT  # keys and values of a latent frame in both layers
    latents, prompt = 4 * 2 * 4 * 4 * FLOAT, 16 * FLOAT
    step, decode = passes(plan)["step"], passes(plan)["decode"]
    assert step.first.moved == weights + (2 + 2) * one_frame + prompt + 2 * latents
    assert step.full.moved == weights + (6 + 2) * one_frame + prompt + 2 * latents
    decoder = next(each for each in plan.weights if each.part == "decoder").bytes
    state = 4 * 4 * 4 * FLOAT
    assert decode.full.moved == decoder + latents + 2 * state + 3 * 2 * 8 * 8 * FLOAT


def test_torch_counts_the_same_flops_on_real_tensors(toy_config):
    """The math backend is made of products that torch's counter knows on any device."""
    from torch.utils.flop_counter import FlopCounterMode

    config = toy_config(transformer=dict(attention_backend="math", window=2))
    pipeline = config.pipeline.setup()
    rollout = pipeline.initialize_cache(prompts="a toy")
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        pipeline.generate(0, rollout, input=0.0)
        pipeline.finalize(0, rollout)
    assert plan_of(config).per_chunk(full=False).flops == counter.get_total_flops()


def test_a_chunk_as_long_as_the_window_has_no_other_chunk(toy_config):
    plan = plan_of(toy_config(transformer=dict(chunk=6, window=6)))
    assert plan.unplanned == []
    assert plan.per_chunk() == plan.per_chunk(full=False)
    assert (plan.size.first_frames, plan.size.frames) == (6, 6)


def test_a_plan_without_decoder_knows_no_pixel_frames(toy_config):
    plan = plan_of(derive_config(toy_config(), pipeline=dict(decoder=None)))
    assert (plan.size.frames, plan.memory.states) == (0, 2 * (4 * 2 * 8 * 8) * FLOAT + 4 * FLOAT)
    assert passes(plan)["decode"].full.flops == 0
