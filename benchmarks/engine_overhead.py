"""What Python adds to Wan's transformer, beside diffusers' and beside the bare operators.

    python benchmarks/engine_overhead.py [--rounds 20] [--threads 1]

Two sizes with random weights, the same on both sides: that of wan-tiny in float32, and two blocks of the
1.3B model in bfloat16. No decoder, which would only make everything else look smaller.

- Host time of a denoising step: the time of one forward pass that is spent outside of torch's operators, as
  torch's profiler has it: ours over its KV cache, eager and as the engine's straight line of calls, and
  diffusers' over the same chunk.
- A whole chunk, noise, four steps and finalize, eager and with the engine, beside a bare loop of the same
  calls to torch. All three give the same latents bit for bit.

- The KV ring at full window: bytes written and bytes moved for one chunk, beside a window whose keys and
  values are moved up for every chunk.

Runs alternate; medians, with quartiles in brackets. The last line is JSON.
"""

import argparse
import json
import platform
import statistics
import tempfile
import time
from dataclasses import asdict, dataclass
from functools import partial

import diffusers
import torch
from diffusers import WanTransformer3DModel
from embedded_prompt import EmbeddedConfig

from flashdreams.bench.copied_bytes import CopiedBytes, RollingWindow
from flashdreams.bench.host_time import host_time
from flashdreams.engine.lines.execution import LineBackend, StraightLines
from flashdreams.engine.lines.recording import record
from flashdreams.infra.diffusion.model.config import DiffusionModelConfig
from flashdreams.infra.diffusion.scheduler.config import FlowMatchSchedulerConfig
from flashdreams.infra.pipeline import StreamInferencePipelineConfig
from flashdreams.infra.pipeline.execution import Execution
from flashdreams_wan.dit.config import WanTransformerConfig

CHUNK = 3


@dataclass(frozen=True)
class Size:
    """What is measured."""

    name: str
    dtype: str
    height: int
    """Of the latents."""
    width: int
    transformer: dict


SIZES = (
    Size(
        "wan-tiny",
        "float32",
        14,
        24,
        dict(width=64, mlp_width=128, layers=4, heads=4, frequency_width=64, text_width=32, text_tokens=512),
    ),
    Size(
        "1.3B, two blocks",
        "bfloat16",
        16,
        26,
        dict(width=1536, mlp_width=8960, layers=2, heads=12, text_width=4096, text_tokens=512),
    ),
)


class Ours:
    """One rollout, whose first chunk is made again and again."""

    def __init__(self, size, folder, text):
        config = StreamInferencePipelineConfig(
            name="benchmark",
            diffusion_model=DiffusionModelConfig(
                transformer=WanTransformerConfig(
                    context_encoder=EmbeddedConfig(),
                    weights=folder,
                    chunk=CHUNK,
                    window=7 * CHUNK,
                    **size.transformer,
                ),
                scheduler=FlowMatchSchedulerConfig(),
            ),
            height=size.height,
            width=size.width,
            dtype=size.dtype,
        )
        self.pipeline = config.setup()
        self.rollout = self.pipeline.initialize_cache(embedded=text)
        self.eager, self.engine = Execution(), StraightLines()

    def chunk(self, execution):
        """A whole chunk, the first of the rollout."""
        self.pipeline.execution = execution
        self.rollout.next_index = 0
        latents = self.pipeline.generate(0, self.rollout)
        self.pipeline.finalize(0, self.rollout)
        return latents

    @torch.no_grad()
    def step(self):
        """One forward pass."""
        slot, model = self.rollout.slot, self.pipeline.diffusion_model
        timestep = model.scheduler.timesteps[:1]
        return model.predict_flow(slot.noise[0], timestep, slot.transformer, None)


class Theirs:
    """diffusers' transformer over the same chunk."""

    def __init__(self, model, noise, text):
        self.model, self.noise, self.text = model, noise, text
        self.timestep = torch.tensor([1000.0])

    @torch.no_grad()
    def step(self):
        """One forward pass."""
        return self.model(self.noise, self.timestep, self.text, return_dict=False)[0]


def diffusers_model(size):
    """A transformer of diffusers with random weights."""
    torch.manual_seed(0)
    sizes = size.transformer
    model = WanTransformer3DModel(
        num_attention_heads=sizes["heads"],
        attention_head_dim=sizes["width"] // sizes["heads"],
        ffn_dim=sizes["mlp_width"],
        num_layers=sizes["layers"],
        text_dim=sizes["text_width"],
        freq_dim=sizes.get("frequency_width", 256),
    )
    return model.to(getattr(torch, size.dtype)).eval().requires_grad_(False)


def recorded_line(function):
    """The calls of ``function``, recorded once, as a bare loop."""
    return record(function, keeps_views=False)[1].function()


def to_last(spreads):
    """Medians as multiples of the last one."""
    *_, last = spreads.values()
    return {name: spread["median"] / last["median"] for name, spread in spreads.items()}


def alternating(rounds, runs):
    """What each run gives, round by round, after one round that is not counted."""
    for run in runs.values():
        run()
    found = {name: [] for name in runs}
    for _ in range(rounds):
        for name, run in runs.items():
            found[name].append(run())
    return found


def copied_bytes(ours):
    """Bytes written and moved for one chunk at full window, in the ring and in a window that is moved up."""
    past = ours.rollout.slot.transformer.past
    ours.pipeline.execution = ours.eager
    index = ours.rollout.next_index = past.window // past.chunk
    with CopiedBytes([past.keys, past.values]) as ring:
        ours.pipeline.generate(index, ours.rollout)
        ours.pipeline.finalize(index, ours.rollout)
    rolling = RollingWindow(past.keys[0], len(past.keys))
    own = torch.zeros_like(past.keys[0, :, : past.write_index.numel()])
    with CopiedBytes(rolling.memory) as moved_up:
        rolling.begin_chunk(own.shape[1])
        for _ in range(1 + len(ours.pipeline.diffusion_model.scheduler.timesteps)):
            for layer in range(len(past.keys)):
                rolling.update(layer, own, own)
    return {
        "window": past.keys.nbytes + past.values.nbytes,
        "own_keys_and_values": 2 * len(past.keys) * own.nbytes,
        "ring": {"written": ring.written, "moved": ring.moved},
        "rolling": {"written": moved_up.written, "moved": moved_up.moved},
    }


def seconds(function):
    """Seconds that ``function`` takes."""
    began = time.perf_counter()
    function()
    return time.perf_counter() - began


def quartiles(values):
    """Lower quartile, median, upper quartile."""
    return dict(zip(("lower", "median", "upper"), statistics.quantiles(values, n=4), strict=True))


def measure(size, rounds):
    """All figures of one size."""
    model = diffusers_model(size)
    sizes, dtype = size.transformer, getattr(torch, size.dtype)
    text = torch.randn(1, sizes["text_tokens"], sizes["text_width"]).to(dtype)
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder)
        ours = Ours(size, folder, text)
        eager = ours.chunk(ours.eager)
    theirs = Theirs(model, ours.rollout.slot.noise[0].clone(), text)
    line = recorded_line(lambda: ours.chunk(ours.eager))
    assert torch.equal(line(), eager), "the bare loop computes something else"
    for _ in range(4):  # met, recorded, recorded again, replayed
        assert torch.equal(ours.chunk(ours.engine), eager), "the engine computes something else"
    difference = (ours.step() - theirs.step()).abs().max().item()
    straight = LineBackend().capture(ours.step, "").replay
    passes = {"ours, engine": straight, "ours, eager": ours.step, "diffusers": theirs.step}
    steps = alternating(rounds, {name: partial(host_time, run) for name, run in passes.items()})
    whole = {
        "ours, engine": partial(ours.chunk, ours.engine),
        "ours, eager": partial(ours.chunk, ours.eager),
        "bare": line,
    }
    chunks = alternating(rounds, {name: partial(seconds, run) for name, run in whole.items()})
    figures = {name: step_figures(times) for name, times in steps.items()}
    return {
        **asdict(size),
        "largest_difference": difference,
        "step": figures,
        "host_time_ratio": to_last({name: step["outside"] for name, step in figures.items()}),
        "chunk": {name: quartiles(times) for name, times in chunks.items()},
        "bytes": copied_bytes(ours),
        "chunk_ratio": to_last({name: quartiles(times) for name, times in chunks.items()}),
    }


def step_figures(times):
    """Figures of one forward pass."""
    return {
        "outside": quartiles([t.outside for t in times]),
        "inside": quartiles([t.inside for t in times]),
        "operators": times[-1].operators,
    }


def report(figures):
    """Print one size as a table."""

    def cell(spread, unit=1e-3):
        return "{median:9.3f} ({lower:.3f} to {upper:.3f})".format(**{k: v / unit for k, v in spread.items()})

    print(f"\n{figures['name']}, {figures['dtype']}, latents {CHUNK}x{figures['height']}x{figures['width']}")
    print("host time of a step, ms")
    for name, step in figures["step"].items():
        ratio = figures["host_time_ratio"][name]
        operators = step["operators"]
        print(f"  {name:14} {cell(step['outside']):28} {ratio:6.3f} x diffusers, {operators} operators")
    print("a whole chunk, ms")
    for name, spread in figures["chunk"].items():
        print(f"  {name:14} {cell(spread):28} {figures['chunk_ratio'][name]:6.3f} x bare")
    copied = figures["bytes"]
    window, own = mib(copied["window"]), mib(copied["own_keys_and_values"])
    print(f"keys and values, MiB: window {window}, a chunk's own {own}")
    for name in ("ring", "rolling"):
        found = copied[name]
        print(f"  {name:14} written {mib(found['written'])} in five passes, moved {mib(found['moved'])}")


def mib(count):
    """Bytes in MiB."""
    return f"{count / 2**20:.2f}"


def main():
    """Measure, print tables, and one line of JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    diffusers.logging.set_verbosity_error()
    sizes = []
    for size in SIZES:
        sizes.append(measure(size, arguments.rounds))
        report(sizes[-1])
    about = {
        "benchmark": "engine_overhead",
        "rounds": arguments.rounds,
        "threads": arguments.threads,
        "sizes": sizes,
        "torch": torch.__version__,
        "diffusers": diffusers.__version__,
        "python": platform.python_version(),
        "machine": platform.machine(),
    }
    print(json.dumps(about))


if __name__ == "__main__":
    main()
