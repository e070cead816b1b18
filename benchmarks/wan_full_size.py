"""One chunk of Self-Forcing at its full size, with random weights, on this CPU: memory beside the plan's.

    python benchmarks/wan_full_size.py [--height 128] [--width 208] [--chunks 1] [--threads 2]

UMT5-XXL, the transformer of 1.3 billion parameters and the VAE run in bfloat16 from prompt to MP4, in a
process of its own whose peak resident memory is read at its end. The last line is JSON.
"""

import argparse
import json
import multiprocessing
import tempfile
import time
from pathlib import Path

from flashdreams.infra.config import derive_config
from flashdreams_self_forcing.config import SELF_FORCING

RANDOM_TEXT = dict(weights="random", tokenizer="bytes", cache_embeddings=False)


def full_size(height, width, chunks, output, threads):
    """The slug as published, but for weights that nobody trained."""
    transformer = dict(weights="random", context_encoder=dict(text=RANDOM_TEXT))
    return derive_config(
        SELF_FORCING,
        pipeline=dict(
            height=height,
            width=width,
            diffusion_model=dict(transformer=transformer),
            decoder=dict(weights="random"),
        ),
        total_blocks=chunks,
        output=output,
        threads=threads,
        device="cpu",
    )


def peak_memory():
    """Peak resident memory of this process so far, in bytes (Linux)."""
    status = Path("/proc/self/status").read_text()
    return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM"))


def run(config, queue):
    """Make the video, and tell how long it took and what it needed."""
    began = time.perf_counter()
    config.setup().run()
    queue.put({"seconds": time.perf_counter() - began, "peak": peak_memory()})


def plan(config, queue):
    """Tell what the plan says."""
    from flashdreams.plan import plan_of

    began = time.perf_counter()
    planned = plan_of(config)
    queue.put({"seconds": time.perf_counter() - began, "total": planned.total, "busiest": planned.busiest})


def in_a_process(function, config):
    """What ``function`` puts into its queue, in a fresh process."""
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    process = context.Process(target=function, args=(config, queue))
    process.start()
    told = queue.get()
    process.join()
    return told


def main():
    """Plan, run, compare, and print one line of JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for name, default in (("height", 128), ("width", 208), ("chunks", 1), ("threads", 2)):
        parser.add_argument(f"--{name}", type=int, default=default)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "full.mp4"
        config = full_size(asked.height, asked.width, asked.chunks, output, asked.threads)
        planned, made = in_a_process(plan, config), in_a_process(run, config)
        size = output.stat().st_size
    gib = 2**30
    print(f"planned {planned['total'] / gib:.2f} GiB in {planned['seconds']:.1f} s ({planned['busiest']})")
    print(f"peak    {made['peak'] / gib:.2f} GiB in {made['seconds']:.1f} s, {size} bytes of MP4")
    ratio = made["peak"] / planned["total"]
    print(
        json.dumps(
            {"benchmark": "wan_full_size", **vars(asked), "plan": planned, "run": made, "ratio": ratio}
        )
    )


if __name__ == "__main__":
    main()
