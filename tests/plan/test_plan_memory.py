"""What is alive at once: the meter by itself, and plans against what this CPU really takes."""

import os
import subprocess
import sys

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from flashdreams.infra.config.placement import placing
from flashdreams.plan import plan_of
from flashdreams.plan.meter import SMALL, Meter

LINUX = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
KIB = 1024


def empty(*shape, **options):
    return torch.empty(*shape, device="meta", **options)


def test_the_meter_follows_what_is_alive():
    meter = Meter()
    with meter, meter.reading() as reading:
        a = empty(256)
        b = a.view(16, 16)[2:] + 1  # a view takes nothing, its sum 14 x 16 floats
        b.mul_(2)
        del a
        c = torch.cat([b, b])
    assert reading.peak == 3 * 4 * 14 * 16
    assert meter.live == 4 * 14 * 16 * 3
    del b, c
    assert meter.live == 0


def test_a_reading_begins_with_what_is_alive_already():
    meter = Meter()
    with meter:
        held = empty(1024)
        with meter.reading() as reading:
            held + 1
        with meter.reading() as later:
            pass
    assert (reading.live_before, reading.peak) == (4 * KIB, 8 * KIB)
    assert (later.live_before, later.peak) == (4 * KIB, 4 * KIB)


def test_weights_are_read_and_take_nothing():
    with torch.device("meta"):
        layer, table = nn.Linear(8, 4), nn.Embedding(1000, 8)
    meter = Meter()
    with meter, torch.no_grad(), meter.reading() as reading:
        layer(layer(table(empty(3, dtype=torch.int64))).repeat(1, 2))
    assert reading.weights_read == 4 * (8 * 4 + 4)  # once, and of the table only rows
    assert reading.flops == 2 * (2 * 3 * 8 * 4)
    assert reading.peak < 1000


def test_a_skeleton_that_is_built_meanwhile_takes_nothing_and_is_read():
    def encoded():
        with placing(device="meta"), torch.device("meta"):
            layer = nn.Linear(1024, 1024, bias=False)
        return layer(empty(1, 1024))

    meter = Meter()
    with meter, torch.no_grad(), meter.reading() as reading:
        encoded()
    assert reading.weights_read == 4 * KIB * KIB
    assert reading.peak <= 2 * 4 * KIB


@pytest.mark.parametrize("masked", [False, True])
def test_attention_takes_what_a_fused_kernel_takes(masked):
    q, k = empty(1, 4, 1000, 32), empty(1, 4, 3000, 32)
    mask = empty(1000, 3000) if masked else None
    meter = Meter()
    with meter, meter.reading() as reading:
        F.scaled_dot_product_attention(q, k, k, attn_mask=mask)
    assert reading.peak == q.nbytes
    assert reading.flops == 2 * 2 * 4 * 1000 * 3000 * 32


def test_convolutions_take_room_to_reorder():
    with torch.device("meta"):
        layer, product = nn.Conv2d(8, 16, 3, padding=1), nn.Conv2d(8, 16, 1)
    x = empty(1, 8, 64, 64)
    last = x.to(memory_format=torch.channels_last)
    results, meter = {}, Meter()
    with meter, torch.no_grad():
        for name, module, given in (("3x3", layer, x), ("1x1", product, x), ("last", layer, last)):
            with meter.reading() as reading:
                module(given)
            results[name] = reading.peak - reading.live_before
    made = 16 * 64 * 64 * 4
    assert results == {"3x3": 2 * made, "1x1": made, "last": made}


def test_small_blocks_are_told_apart():
    meter = Meter()
    with meter:
        with meter.reading() as reading:
            large = empty(SMALL, dtype=torch.uint8)
            small = empty(SMALL - 1, dtype=torch.uint8)
        assert (reading.peak, reading.small) == (2 * SMALL - 1, SMALL - 1)
        del large, small


def test_the_parts_of_a_plan_add_up(toy_config):
    plan = plan_of(toy_config(height=64, width=64))
    memory = plan.memory
    assert memory.pixels == 3 * 2 * 64 * 64 * 4
    for each in plan.passes:
        assert each.peak <= memory.held + each.activations + memory.transient + memory.pixels
        assert each.peak >= memory.weights + each.activations
    assert plan.peak == max(each.peak for each in plan.passes)
    assert plan.total == plan.peak + memory.heap + memory.runtime


def test_a_run_of_one_chunk_takes_less(toy_config):
    size = dict(height=64, width=64, transformer=dict(rope_positions="window", window=12))
    one, many = (plan_of(toy_config(**size, runner=dict(total_blocks=n))) for n in (1, 7))
    assert one.peak < many.peak
    assert one.per_chunk() == many.per_chunk()


def test_attention_in_the_open_takes_more(toy_config):
    size = dict(height=64, width=64)
    fused, plain = (
        plan_of(toy_config(**size, transformer=dict(attention_backend=name))) for name in ("sdpa", "math")
    )
    scores = 2 * 2048 * 6144 * 4
    assert fused.peak < scores < plain.peak


MODEL = """
import sys
import torch
torch.set_num_threads(1)
from flashdreams.infra.config import derive_config
from flashdreams.infra.runner import RunnerConfig
from flashdreams.testing.toy import toy_pipeline_config
transformer = dict(width=1024, heads=16, layers=3, window=6)
model = dict(transformer=transformer, scheduler=dict(denoising_timesteps=[1000.0]))
config = derive_config(
    RunnerConfig(runner_name="toy", pipeline=toy_pipeline_config(), device="cpu"),
    pipeline=dict(height=48, width=48, dtype=sys.argv[1], diffusion_model=model),
)
"""
PLAN = """
from flashdreams.plan import plan_of
plan = plan_of(config)
step = next(each for each in plan.passes if each.name == "step")
print(plan.total, step.activations)
"""
RUN = """
def status(name):
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith(name))
pipeline = config.pipeline.setup()
rollout = pipeline.initialize_cache(prompts="a toy")
for index in range(2):
    held, most = status("VmRSS"), status("VmHWM")
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")  # begin anew with the most that was resident
    chunk = pipeline.generate(index, rollout, input=0.0)
    pipeline.finalize(index, rollout)
    grown = status("VmHWM") - held
print(max(most, status("VmHWM")), grown)
"""


def numbers(program, dtype, **variables):
    environment = {**os.environ, "OMP_NUM_THREADS": "1", **variables}
    line = [sys.executable, "-c", MODEL + program, dtype]
    done = subprocess.run(line, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    return [int(word) for word in done.stdout.split()]


@LINUX
def test_activations_of_a_model_of_mid_size_are_what_it_takes():
    """28 million parameters in float32, off by 0.2 % as measured."""
    _, activations = numbers(PLAN, "float32")
    # With an allocator that gives everything back at once, what is resident is what is alive.
    _, grown = numbers(RUN, "float32", MALLOC_MMAP_THRESHOLD_="1048576", MALLOC_TRIM_THRESHOLD_="1048576")
    assert abs(activations / grown - 1) < 0.1


@LINUX
@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_the_total_of_a_model_of_mid_size_is_what_it_takes(dtype):
    """Off by 1 % in float32 and 6 % in bfloat16, as measured."""
    total, _ = numbers(PLAN, dtype)
    most, _ = numbers(RUN, dtype)
    assert abs(total / most - 1) < 0.15
