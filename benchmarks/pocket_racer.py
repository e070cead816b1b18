"""Frames per second of pocket-racer on one CPU core, beside its bare matrix products and convolutions.

    python benchmarks/pocket_racer.py [--frames 200] [--rounds 5]

A frame is measured end to end: scripted driver, control, denoising, decoding, uint8, and finalize. The
bare time is that of the same matrix products and convolutions, recorded from one steady frame and run in
a loop on tensors of the same shapes. Both take turns, round by round. The last line is JSON.
"""

import argparse
import json
import platform
import statistics
import time

import numpy as np
import torch
from torch.utils._python_dispatch import TorchDispatchMode

import flashdreams
from flashdreams.io.video import to_uint8
from flashdreams_pocket.drivers import driver

HEAVY = {"mm", "addmm", "bmm", "baddbmm", "convolution", "_scaled_dot_product_flash_attention_for_cpu"}
SCHEDULES = {1: [1000.0], 2: [1000.0, 750.0], 4: [1000.0, 900.0, 750.0, 500.0]}


class HeavyOperators(TorchDispatchMode):
    """Records every matrix product and convolution with its arguments."""

    def __init__(self):
        super().__init__()
        self.calls = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func.overloadpacket.__name__ in HEAVY:
            self.calls.append((func, detached(args), kwargs or {}))
        return func(*args, **(kwargs or {}))


def detached(args):
    """The same arguments in memory of their own, strides kept."""
    return tuple(
        torch.empty_strided(a.shape, a.stride(), dtype=a.dtype).copy_(a) if isinstance(a, torch.Tensor) else a
        for a in args
    )


class Drive:
    """A dream that a scripted driver steers, frame after frame."""

    def __init__(self, steps):
        scheduler = {"denoising_timesteps": SCHEDULES[steps]}
        self.pipeline = flashdreams.load(
            "pocket-racer", device="cpu", diffusion_model={"scheduler": scheduler}
        )
        self.rollout = self.pipeline.initialize_cache(seed=0)
        self.driver = driver("steady")
        self.frame = np.zeros((64, 64, 3), dtype=np.uint8)

    def step(self):
        """One frame, end to end."""
        index = self.rollout.next_index
        chunk = self.pipeline.generate(index, self.rollout, input=self.driver(self.frame))
        self.frame = to_uint8(chunk)[0, -1]
        self.pipeline.finalize(index, self.rollout)


def bare(calls):
    """The heavy operators of one frame and nothing else."""
    for func, args, kwargs in calls:
        func(*args, **kwargs)


def seconds(function, repeats):
    """Seconds per call, over ``repeats`` calls."""
    start = time.perf_counter()
    for _ in range(repeats):
        function()
    return (time.perf_counter() - start) / repeats


@torch.no_grad()
def measure(steps, frames, rounds):
    """Medians over the rounds, each of which times both."""
    drive = Drive(steps)
    for _ in range(30):  # fills the window
        drive.step()
    with HeavyOperators() as recorded:
        drive.step()
    whole, alone = [], []
    for _ in range(rounds):
        whole.append(seconds(drive.step, frames // rounds))
        alone.append(seconds(lambda: bare(recorded.calls), frames // rounds))
    return {
        "steps": steps,
        "frames_per_second": 1 / statistics.median(whole),
        "frame_ms": 1000 * statistics.median(whole),
        "bare_ms": 1000 * statistics.median(alone),
        "ratio": statistics.median(w / a for w, a in zip(whole, alone, strict=True)),
        "heavy_operators": len(recorded.calls),
    }


def main():
    """Measure, print a table, and end with JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--frames", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    torch.set_num_threads(1)
    rows = [measure(steps, options.frames, options.rounds) for steps in SCHEDULES]
    print(f"{'steps':>5} {'frames/s':>9} {'ms/frame':>9} {'bare ms':>8} {'ratio':>6}")
    for row in rows:
        print(
            f"{row['steps']:>5} {row['frames_per_second']:>9.1f} {row['frame_ms']:>9.2f} "
            f"{row['bare_ms']:>8.2f} {row['ratio']:>6.2f}"
        )
    versions = {"torch": torch.__version__, "python": platform.python_version()}
    print(json.dumps({"machine": platform.machine(), "threads": 1, **versions, "results": rows}))


if __name__ == "__main__":
    main()
