"""A causal rollout of Wan's transformer over a KV cache, beside diffusers' transformer in the same loop.

    python benchmarks/wan_rollout.py [--chunks 7] [--rounds 3] [--dtype float32] [--threads 1]

Both have the same random weights and make the same chunks of 3 latent frames in 4 steps. diffusers'
transformer has no KV cache, so it is called twice: with all latent frames so far, which is what it takes to
let a chunk see the past ("recomputing"), and with the current chunk alone, which sees no past ("blind").
Ours sees the past and pays for its fifth pass, which writes the cache. Rounds alternate; medians are
compared. The last line is JSON.
"""

import argparse
import json
import platform
import statistics
import tempfile
import time

import diffusers
import torch
from diffusers import WanTransformer3DModel

from flashdreams.infra.conditions import Conditions
from flashdreams.infra.diffusion.model.config import DiffusionModelConfig
from flashdreams.infra.diffusion.scheduler.config import FlowMatchSchedulerConfig
from flashdreams.infra.encoder.base import Encoder, EncoderConfig
from flashdreams.infra.pipeline import StreamInferencePipelineConfig
from flashdreams_wan.dit.config import WanTransformerConfig

SIZE = dict(width=384, mlp_width=2240, layers=8, heads=3, text_width=256, text_tokens=128)
"""A quarter of the 1.3B model's width, and its head of 128 channels."""
LATENTS = (3, 20, 34)  # time, height, width: 272x160 pixels
FRAMES = LATENTS[0]


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
    """One pipeline without decoder, rollout after rollout."""

    def __init__(self, folder, dtype):
        config = StreamInferencePipelineConfig(
            name="benchmark",
            diffusion_model=DiffusionModelConfig(
                transformer=WanTransformerConfig(
                    context_encoder=EmbeddedConfig(), weights=folder, chunk=FRAMES, window=21, **SIZE
                ),
                scheduler=FlowMatchSchedulerConfig(),
            ),
            height=LATENTS[1],
            width=LATENTS[2],
            dtype=dtype,
        )
        self.pipeline = config.setup()

    def chunk_times(self, text, chunks):
        """Seconds of each chunk, its finalize included."""
        times = []
        with self.pipeline.initialize_cache(embedded=text) as rollout:
            for index in range(chunks):
                began = time.perf_counter()
                self.pipeline.generate(index, rollout)
                self.pipeline.finalize(index, rollout)
                times.append(time.perf_counter() - began)
        return times


class Theirs:
    """diffusers' transformer, called for every denoising step of every chunk."""

    def __init__(self, model, recomputing):
        self.model, self.recomputing = model, recomputing

    @torch.no_grad()
    def chunk_times(self, text, chunks):
        """Seconds of each chunk."""
        scheduler = FlowMatchSchedulerConfig().setup()
        past = torch.zeros(1, 16, 0, *LATENTS[1:], dtype=text.dtype)
        times = []
        for _ in range(chunks):
            began = time.perf_counter()
            noise = [torch.randn(1, 16, *LATENTS, dtype=text.dtype) for _ in range(scheduler.draws)]
            latents = noise[0]
            for i, timestep in enumerate(scheduler.timesteps):
                seen = torch.cat([past, latents], dim=2) if self.recomputing else latents
                flow = self.model(seen, timestep[None], text, return_dict=False)[0][:, :, -FRAMES:]
                latents = scheduler.step(i, flow, latents, noise, None)
            past = torch.cat([past, latents], dim=2)
            times.append(time.perf_counter() - began)
        return times


def diffusers_model(dtype):
    """A transformer of diffusers, of the same sizes and with random weights."""
    torch.manual_seed(0)
    return WanTransformer3DModel(
        num_attention_heads=SIZE["heads"],
        attention_head_dim=SIZE["width"] // SIZE["heads"],
        ffn_dim=SIZE["mlp_width"],
        num_layers=SIZE["layers"],
        text_dim=SIZE["text_width"],
        freq_dim=256,
    ).to(dtype)


def main():
    """Measure, print a table, and one line of JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--chunks", type=int, default=7)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--dtype", default="float32", choices=["float32", "bfloat16"])
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    dtype = getattr(torch, arguments.dtype)
    text = torch.randn(1, SIZE["text_tokens"], SIZE["text_width"]).to(dtype)
    model = diffusers_model(dtype).eval().requires_grad_(False)
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder)
        ours = Ours(folder, arguments.dtype)
        runs = {
            "ours": ours,
            "diffusers, recomputing": Theirs(model, recomputing=True),
            "diffusers, blind": Theirs(model, recomputing=False),
        }
        taken = {name: [] for name in runs}
        for _ in range(arguments.rounds):
            for name, run in runs.items():
                taken[name].append(run.chunk_times(text, arguments.chunks))
    report(arguments, {name: medians(rounds) for name, rounds in taken.items()})


def medians(rounds):
    """The median over rounds of each chunk's seconds."""
    return [statistics.median(times) for times in zip(*rounds, strict=True)]


def report(arguments, seconds):
    """Print the table and the line of JSON."""
    total = {name: sum(times) for name, times in seconds.items()}
    for name, times in seconds.items():
        cells = " ".join(f"{t:7.3f}" for t in times)
        print(f"{name:24} {cells}  sum {total[name]:7.2f} s  {total[name] / total['ours']:5.2f} x ours")
    figures = {
        "benchmark": "wan_rollout",
        "dtype": arguments.dtype,
        "threads": arguments.threads,
        "rounds": arguments.rounds,
        "seconds_per_chunk": seconds,
        "times_ours": {name: total[name] / total["ours"] for name in total},
        "torch": torch.__version__,
        "diffusers": diffusers.__version__,
        "machine": platform.machine(),
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
