"""What Python adds to Wan's transformer, beside diffusers' and beside the bare operators.

    python benchmarks/engine_overhead.py [--rounds 20] [--threads 1]

Two sizes with random weights, the same on both sides: that of wan-tiny in float32, and two blocks of the
1.3B model in bfloat16. No decoder, which would only make everything else look smaller.

- Host time of a denoising step: the time of one forward pass that is spent outside of torch's operators, as
  torch's profiler has it, ours over its KV cache and diffusers' over the same chunk.
- A whole chunk, noise, four steps and finalize, beside a bare loop of the same calls to torch, which gives
  the same latents bit for bit.

Runs alternate; medians, with quartiles in brackets. The last line is JSON.
"""

import argparse
import json
import platform
import statistics
import tempfile
import time
from dataclasses import asdict, dataclass

import diffusers
import torch
from diffusers import WanTransformer3DModel

from flashdreams.bench.bare_calls import bare_loop, recorded
from flashdreams.bench.host_time import host_time
from flashdreams.infra.conditions import Conditions
from flashdreams.infra.diffusion.model.config import DiffusionModelConfig
from flashdreams.infra.diffusion.scheduler.config import FlowMatchSchedulerConfig
from flashdreams.infra.encoder.base import Encoder, EncoderConfig
from flashdreams.infra.pipeline import StreamInferencePipelineConfig
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
        dict(
            width=64, mlp_width=128, layers=4, heads=4, frequency_width=64, text_width=32, text_tokens=512
        ),
    ),
    Size(
        "1.3B, two blocks",
        "bfloat16",
        16,
        26,
        dict(width=1536, mlp_width=8960, layers=2, heads=12, text_width=4096, text_tokens=512),
    ),
)


class EmbeddedConfig(EncoderConfig):
    """Hands on a prompt that is embedded already."""

    def __init__(self):
        self._target = Embedded


class Embedded(Encoder):
    """Hands on a prompt that is embedded already."""

    takes = frozenset({"embedded"})

    def forward(self, conditions: Conditions):
        """The embedding as it was given."""
        return {"text": conditions.inputs["embedded"]}


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

    def chunk(self):
        """A whole chunk, the first of the rollout."""
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


def alternating(rounds, **runs):
    """What each run gives, round by round, after one round that is not counted."""
    for run in runs.values():
        run()
    found = {name: [] for name in runs}
    for _ in range(rounds):
        for name, run in runs.items():
            found[name].append(run())
    return found


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
        chunk = ours.chunk()
    theirs = Theirs(model, ours.rollout.slot.noise[0].clone(), text)
    ours.rollout.next_index = 0
    calls = recorded(ours.chunk)
    bare = bare_loop(calls)
    bare()
    assert torch.equal(ours.rollout.slot.latents, chunk), "the bare loop computes something else"
    difference = (ours.step() - theirs.step()).abs().max().item()
    steps = alternating(rounds, ours=lambda: host_time(ours.step), diffusers=lambda: host_time(theirs.step))
    chunks = alternating(rounds, ours=lambda: seconds(ours.chunk), bare=lambda: seconds(bare))
    figures = {name: step_figures(times) for name, times in steps.items()}
    return {
        **asdict(size),
        "largest_difference": difference,
        "calls_of_a_chunk": len(calls),
        "step": figures,
        "host_time_ratio": figures["ours"]["outside"]["median"] / figures["diffusers"]["outside"]["median"],
        "chunk": {name: quartiles(times) for name, times in chunks.items()},
        "chunk_ratio": statistics.median(chunks["ours"]) / statistics.median(chunks["bare"]),
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
    print(f"{'host time of a step, ms':28} {'':28} operators")
    for name, step in figures["step"].items():
        print(f"  {name:26} {cell(step['outside']):28} {step['operators']}")
    print(f"  {'ratio':26} {figures['host_time_ratio']:9.3f}")
    print("a whole chunk, ms")
    for name, spread in figures["chunk"].items():
        print(f"  {name:26} {cell(spread)}")
    print(f"  {'ratio':26} {figures['chunk_ratio']:9.3f}")


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
