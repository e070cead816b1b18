"""Everything that can be known on a machine with a card alone, checked and measured in one go.

    python benchmarks/gpu_checks.py [--document FILE.md] [--chunks 30]

- Graphs: what is replayed equals what is run eagerly, bit for bit, or says by how much not; a second rollout
  captures nothing; in steady chunks the host waits for nothing, or torch raises.
- Kernels: how near each is to its twin in plain torch, and how much faster.
- Attention: how far every backend that the card has is from float32, and how fast it is, at full window.
- Speed: Self-Forcing of 1.3 billion random weights with TAEHV at 832x480 pixels, in bfloat16, with float8
  products, and compiled, at the sixth chunk and at full window, beside the floor that the plan computes from
  the rates of products, attention and copies that are measured in the same run. The target is 1.2 times that.

The prompt is embedded already: UMT5 takes no part. Without a card it says so, and that is all. A part that
raises is a failed check, and the others go on; the document is written after each. Exit code 1 says that a
check of graphs, kernels or attention failed, or that speed could not be measured; speed itself is not judged.
"""

import argparse
import gc
import os
import sys
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # read when torch first calls cuBLAS

import torch
from embedded_prompt import EmbeddedConfig
from gpu_parts import check_attention, check_kernels

from flashdreams.bench.document import last_line, people_table, seconds
from flashdreams.bench.driving import Driver
from flashdreams.bench.measuring import measure
from flashdreams.engine.engine import Engine
from flashdreams.engine.graphs.cuda import CudaBackend
from flashdreams.engine.graphs.executor import GraphExecution
from flashdreams.engine.lanes import lanes_on
from flashdreams.infra.config import derive_config
from flashdreams.infra.pipeline.execution import Execution
from flashdreams.infra.runner import Runner, RunnerConfig
from flashdreams.plugins.registry import installed_registry

SLUG = "self-forcing-wan2.1-t2v-1.3b-taehv"
TARGET = 1.2
"""Chunk period over the floor of the plan, at most."""


@dataclass(kw_only=True)
class EmbeddedRunnerConfig(RunnerConfig):
    """A runner whose prompt is noise in the shape of an embedding."""

    _target: Any = field(default_factory=lambda: EmbeddedRunner)


class EmbeddedRunner(Runner):
    """Gives every rollout the same made-up embedding."""

    def conditions(self):
        """The embedding, on the host."""
        transformer = self.config.pipeline.diffusion_model.transformer
        shape = (1, transformer.text_tokens, transformer.text_width)
        draw = torch.randn(shape, generator=torch.Generator().manual_seed(0))
        return {"embedded": draw.to(getattr(torch, self.config.pipeline.dtype))}


def config_of(slug, device, compile=False, **pipeline):
    """The slug with random weights and an embedded prompt."""
    base = installed_registry().runner_config(slug).pipeline
    random = dict(weights="random")
    transformer = dict(context_encoder=EmbeddedConfig(), **random)
    changed = derive_config(base, diffusion_model=dict(transformer=transformer), decoder=random, **pipeline)
    return EmbeddedRunnerConfig(
        runner_name=slug, pipeline=changed, device=device, threads=1, progress="off", compile=compile
    )


class Checks:
    """What was found, line by line, and whether anything failed."""

    def __init__(self):
        self.lines = []
        self.failed = False

    def note(self, name, passed, said):
        """Keep one finding."""
        self.failed |= not passed
        self.lines.append(f"| {name} | {'yes' if passed else 'NO'} | {said} |")
        print(f"{'ok' if passed else 'FAILED':7} {name}: {said}", flush=True)

    def attempt(self, name, part):
        """Do a part of the checks; what it raises is a finding, and the other parts go on."""
        try:
            return part()
        except Exception as error:
            lines = str(error).splitlines() or [""]
            self.note(name, False, f"{type(error).__name__}: {lines[0]}")
            return None
        finally:
            gc.collect()  # pipelines and graphs hold one another in circles
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
                torch.cuda.reset_peak_memory_stats()  # or a part would be told of the peaks before it


# --- graphs


def check_graphs(config, backend, checks, chunks):
    """Replay on lanes, as in a run, against eager; captures in a second rollout; waits in steady chunks."""
    driver = Driver(derive_config(config, total_blocks=chunks))
    pipeline, conditions = driver.pipeline, driver.runner.conditions()
    pipeline.execution = Execution()
    eager = rollout_of(pipeline, conditions, chunks)
    graphs = GraphExecution(backend, mode=True)
    pipeline.execution = Engine(lanes_on(pipeline.device), graphs)
    pipeline.warmup(conditions=conditions)
    warmed = len(graphs.captures)
    kept = f"{warmed} graphs, {graphs.bytes / 2**20:.0f} MiB"
    checks.note("graphs are captured in the warm-up", warmed > 0, kept)
    replayed = rollout_of(pipeline, conditions, chunks)
    checks.note(
        "a rollout captures none", len(graphs.captures) == warmed, f"{len(graphs.captures) - warmed} more"
    )
    checks.note("replay equals eager", *compared(replayed, eager))
    watch = torch.cuda.set_sync_debug_mode if pipeline.device.type == "cuda" else None
    waits = waits_of(pipeline, conditions, chunks, watch)
    checks.note("the host waits for nothing in steady chunks", waits is None, waits or "none")
    later = len(graphs.captures) - warmed
    checks.note("a second rollout captures none", later == 0, f"{later} more")


def rollout_of(pipeline, conditions, chunks):
    """The chunks of a rollout."""
    with pipeline.initialize_cache(**conditions, seed=0) as rollout:
        made = [chunk.clone() for chunk in pipeline.stream(rollout, [None] * chunks)]
        pipeline.execution.catch_up()
    return made


def compared(ours, theirs):
    """Whether two lists of tensors are the same bit for bit, or within one unit in the last place."""
    if all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True)):
        return True, "bit for bit"
    if not all(torch.isfinite(each).all() for each in (*ours, *theirs)):
        return False, "not finite"
    pairs = [(a.float(), b.float()) for a, b in zip(ours, theirs, strict=True)]
    eps = torch.finfo(ours[0].dtype).eps
    most = max(float(((a - b).abs() / b.abs().clamp_min(1e-6)).max()) / eps for a, b in pairs)
    return most <= 1, f"not bit for bit: {most:.2f} units in the last place at most"


def waits_of(pipeline, conditions, chunks, watch=None):
    """What made the host wait in the chunks after the first two; None where nothing did.

    From the third chunk to the last, ``watch`` is at "error", and else at "default".
    """
    watch = watch or (lambda mode: None)
    with pipeline.initialize_cache(**conditions, seed=1) as rollout:
        try:
            for index in range(chunks):
                if index == 2:
                    watch("error")
                pipeline.generate(index, rollout)
                pipeline.finalize(index, rollout)
        except Exception as error:
            return (str(error).splitlines() or [type(error).__name__])[0]
        finally:
            watch("default")
    return None


# --- speed


WAYS = {
    "bfloat16": dict(quantise="none"),
    "float8 products": dict(quantise="fp8"),
    "bfloat16, compiled": dict(quantise="none", compile=True),
}
"""How the transformer is computed."""


def measure_speed(title, slug, device, chunks, **pipeline):
    """The bench of the slug computed one way, under its title."""
    config = config_of(slug, device, **WAYS[title], **pipeline)
    figures = measure(config, chunks=chunks, command="python benchmarks/gpu_checks.py")
    print(f"\n{title}\n\n{people_table(figures)}\n", flush=True)
    return title, figures


def over_floor(period, floor):
    """A period beside its floor, in words."""
    if period is None or not floor:
        return "not known"
    verdict = "within" if period <= TARGET * floor else "above"
    return f"{seconds(period)}, {period / floor:.2f} of a floor of {seconds(floor)}: {verdict} {TARGET}"


def document(card, checks, speeds):
    """What was found, as a page."""
    lines = [
        f"# {card}",
        "Written by `python benchmarks/gpu_checks.py`. CUBLAS_WORKSPACE_CONFIG is "
        f"{os.environ['CUBLAS_WORKSPACE_CONFIG']}, torch {torch.__version__}.",
        "\n".join(["| check | passed | found |", "| --- | --- | --- |", *checks.lines]),
    ]
    for title, figures in speeds:
        sixth = over_floor(figures.sixth_period, figures.sixth_floor)
        full = over_floor(figures.period.p50, figures.floor)
        lines.append(f"## {figures.slug}, {title}\n\nSixth chunk: {sixth}. Full window: {full}.")
        lines.append("\n".join(f"    {line}".rstrip() for line in people_table(figures).splitlines()))
        lines.append(f"    {last_line(figures)}")
    return "\n\n".join(lines) + "\n"


def main():
    """Check, measure, and write the document where one is wanted."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--document", type=Path)
    parser.add_argument("--chunks", type=int, default=30)
    arguments = parser.parse_args()
    if not torch.cuda.is_available():
        print("No CUDA card here: nothing was checked.")
        return 0
    device, checks, speeds = torch.device("cuda", 0), Checks(), []
    config, backend = config_of(SLUG, "cuda:0"), CudaBackend(device)
    parts = {
        "graphs": partial(check_graphs, config, backend, checks, chunks=9),
        "kernels": partial(check_kernels, device, backend, checks),
        "attention": partial(check_attention, device, checks),
        **{title: partial(measure_speed, title, SLUG, "cuda:0", arguments.chunks) for title in WAYS},
    }
    for name, part in parts.items():
        measured = checks.attempt(name, part)
        speeds += [measured] if measured else []
        if arguments.document:
            page = document(torch.cuda.get_device_name(device), checks, speeds)
            arguments.document.write_text(page, encoding="utf-8")
    return int(checks.failed)


if __name__ == "__main__":
    sys.exit(main())
