"""What 8 bits cost: errors of the transformer's flow against bfloat16, and bytes.

    python benchmarks/quantisation.py [--chunks 4] [--write]

Three models in bfloat16: wan-tiny and two blocks of the size of Wan 2.1 at 1.3 billion parameters, with
random weights, and pocket-racer, which is trained. bfloat16 makes a few chunks; then every way of quantising
is shown the same chunks, at four noise levels each, over keys and values that it has cached itself. The error
is the norm of the difference of all flows, over the norm of bfloat16's. The last line is JSON. With --write,
the table is written to docs/quantisation.md.
"""

import argparse
import json
import platform
from pathlib import Path

import torch

import flashdreams
from flashdreams.infra.conditions import Conditions
from flashdreams.infra.config import derive_config
from flashdreams.infra.diffusion.model.config import DiffusionModelConfig
from flashdreams.infra.diffusion.scheduler.config import FlowMatchSchedulerConfig
from flashdreams.infra.encoder.base import Encoder, EncoderConfig
from flashdreams.infra.pipeline import StreamInferencePipelineConfig
from flashdreams.plan import plan_of
from flashdreams.plugins.registry import installed_registry
from flashdreams_wan.dit.config import WanTransformerConfig

PAGE = Path(__file__).parents[1] / "docs/quantisation.md"
BEGIN, END = "<!-- Written by benchmarks/quantisation.py from here -->", "<!-- to here -->"
FULL_SIZE = "self-forcing-wan2.1-t2v-1.3b-taehv"
NOISE = (1.0, 0.75, 0.5, 0.25)
COMPACT = dict(diffusion_model=dict(transformer=dict(cache_dtype="float8_e4m3fn")))
WAYS = {
    "`quantise=fp8`": dict(quantise="fp8"),
    "`quantise=fp8-weights`": dict(quantise="fp8-weights"),
    "`quantise=int8-weights`": dict(quantise="int8-weights"),
    "`cache_dtype=float8_e4m3fn`": COMPACT,
    "`quantise=fp8` and `cache_dtype=float8_e4m3fn`": dict(quantise="fp8", **COMPACT),
}


class RandomTextConfig(EncoderConfig):
    """Embeddings that no prompt was encoded for."""

    def __init__(self):
        self._target = RandomText


class RandomText(Encoder):
    """Embeddings that no prompt was encoded for, of 512 tokens."""

    takes = frozenset()

    def forward(self, conditions: Conditions):
        """The same embeddings for every rollout."""
        return {"text": torch.randn(1, 512, 4096, generator=torch.Generator().manual_seed(5)).bfloat16()}


def two_blocks():
    """Two blocks of Wan at 1.3 billion parameters."""
    transformer = WanTransformerConfig(context_encoder=RandomTextConfig(), layers=2, window=12)
    return StreamInferencePipelineConfig(
        name="two blocks",
        diffusion_model=DiffusionModelConfig(transformer=transformer, scheduler=FlowMatchSchedulerConfig()),
        height=16,
        width=26,
        dtype="bfloat16",
    )


MODELS = {
    "wan-tiny": (lambda: derive_config(flashdreams.config("self-forcing-tiny"), dtype="bfloat16"), "a fox"),
    "1.3B, two blocks": (two_blocks, None),
    "pocket-racer": (lambda: derive_config(flashdreams.config("pocket-racer"), dtype="bfloat16"), None),
}


def chunks_of(pipeline, prompt, count):
    """Clean latents that a pipeline makes."""
    found = []
    with pipeline.initialize_cache(prompts=prompt, seed=0) as rollout:
        for index in range(count):
            pipeline.generate(index, rollout)
            found.append(rollout.pending.latents)
            pipeline.finalize(index, rollout)
    return found


@torch.no_grad()
def flows_of(pipeline, prompt, chunks):
    """Flows at every noise level of every chunk, in float64."""
    model, found = pipeline.diffusion_model.transformer, []
    with pipeline.initialize_cache(prompts=prompt, seed=0) as rollout:
        slot = rollout.slot
        for index, clean in enumerate(chunks):
            generator = torch.Generator().manual_seed(index)
            control = model.take_control(slot.transformer, index, pipeline.stages.encode(slot, None))
            model.begin_chunk(slot.transformer, index)
            for level in NOISE:
                noise = torch.randn(clean.shape, generator=generator)
                latents = ((1 - level) * clean.float() + level * noise).to(pipeline.dtype)
                timestep = torch.tensor([1000 * level])
                found.append(model.predict_flow(latents, timestep, slot.transformer, control).double())
            clean = clean.to(pipeline.dtype)
            model.write_context(clean, slot.transformer, control)
            model.remember_chunk(clean, slot.transformer)
    return torch.stack(found)


def errors_of(config, prompt, count):
    """Relative error of every way, and of bfloat16 against float32."""
    plain = config.setup()
    chunks = chunks_of(plain, prompt, count)
    exact = flows_of(plain, prompt, chunks)
    longer = flows_of(derive_config(config, dtype="float32").setup(), prompt, chunks)
    found = {"bfloat16 itself, against float32": relative(exact, longer)}
    for way, changes in WAYS.items():
        found[way] = relative(flows_of(derive_config(config, **changes).setup(), prompt, chunks), exact)
    return found


def relative(flows, exact):
    """Norm of the difference over the norm."""
    return ((flows - exact).norm() / exact.norm()).item()


def bytes_of(changes):
    """GiB of the transformer's weights and of the KV cache at full size, by the plan."""
    config = installed_registry().runner_config(FULL_SIZE)
    plan = plan_of(derive_config(config, pipeline={"dtype": "bfloat16", **changes}), memory_only=True)
    weights = next(each.bytes for each in plan.weights if each.part == "transformer")
    return {"weights": weights / 2**30, "kv_cache": plan.memory.kv_cache / 2**30}


def table(errors, sizes):
    """Markdown, a row for each way."""
    models = list(errors)
    lines = [
        "| way | " + " | ".join(models) + " | weights, GiB | KV cache, GiB |",
        "|---" * (len(models) + 3) + "|",
    ]
    for way, gib in sizes.items():
        cells = [f"{errors[model][way]:.2g}" for model in models]
        cells += [f"{gib['weights']:.2f}", f"{gib['kv_cache']:.2f}"]
        lines.append(f"| {way} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main():
    """Measure, print and maybe write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--chunks", type=int, default=4)
    parser.add_argument("--write", action="store_true")
    asked = parser.parse_args()
    errors = {name: errors_of(make(), prompt, asked.chunks) for name, (make, prompt) in MODELS.items()}
    first = next(iter(errors.values()))
    sizes = {way: bytes_of(WAYS.get(way, {})) for way in first}
    shown = table(errors, sizes)
    print(shown)
    if asked.write:
        head, _, rest = PAGE.read_text().partition(BEGIN)
        PAGE.write_text(f"{head}{BEGIN}\n\n{shown}\n\n{END}{rest.partition(END)[2]}")
    versions = {
        "torch": torch.__version__,
        "machine": platform.machine(),
        "python": platform.python_version(),
    }
    print(
        json.dumps({"benchmark": "quantisation", **vars(asked), **versions, "errors": errors, "gib": sizes})
    )


if __name__ == "__main__":
    main()
