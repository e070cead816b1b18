"""A model eager, compiled, and as its bare matrix products and convolutions; and its start while it compiles.

    python benchmarks/engine_compile.py [SLUG] [--chunks 400] [--rounds 20] [--starts 1]

The three take turns, round by round. A chunk is generate and finalize; a frame adds what stands around it:
for pocket-racer the scripted driver and uint8. The bare time is that of the same products and convolutions,
recorded from a steady chunk of the eager model and run in a loop on tensors of the same shapes. Code is made
in an empty cache of its own. The start is measured in processes of their own, from their first instruction to
the first chunk: eager; with hot swap and an empty cache, so that compiling goes on behind; and with hot swap
and the cache that this left. The last line is JSON.
"""

import argparse
import json
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from flashdreams.engine.compile.compiler import Compiler
from flashdreams.engine.compile.execution import CompiledExecution
from flashdreams.engine.engine import Engine as WholeEngine
from flashdreams.engine.hot_swap import HotSwap
from flashdreams.engine.lines.execution import StraightLines
from flashdreams.infra.pipeline.execution import Execution
from flashdreams.io.artefacts import ArtefactStore
from flashdreams.io.pixels import to_uint8
from flashdreams.plugins.registry import installed_registry

HEAVY = {
    *("mm", "addmm", "bmm", "baddbmm", "convolution", "mkldnn_convolution"),
    *("_scaled_dot_product_flash_attention_for_cpu", "_scaled_dot_product_attention_math"),
}


class HeavyOperators(TorchDispatchMode):
    """Records every matrix product and convolution with its arguments."""

    def __init__(self):
        super().__init__()
        self.calls = []
        self.copies = {}

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func.overloadpacket.__name__ in HEAVY:
            self.calls.append((func, tuple(map(self.detached, args)), kwargs or {}))
        return func(*args, **(kwargs or {}))

    def detached(self, argument):
        """The same argument in memory of its own, strides kept; what shares memory goes on sharing it.

        So weights that three passes read are as warm in the caches as they are in the model.
        """
        if not isinstance(argument, torch.Tensor):
            return argument
        look = (argument.data_ptr(), argument.shape, argument.stride(), argument.dtype)
        if look not in self.copies:
            place = torch.empty_strided(argument.shape, argument.stride(), dtype=argument.dtype)
            self.copies[look] = place.copy_(argument)
        return self.copies[look]


class Drive:
    """A rollout of a slug, chunk after chunk, steered as its runner steers it."""

    def __init__(self, slug, engine=None):
        self.runner = installed_registry().runner_config(slug).setup(device="cpu")
        self.runner.pipeline.execution = Execution() if engine is None else self.compiled(engine)
        self.rollout = self.runner.begin_rollout()
        self.chunk = None
        self.seconds = []

    def compiled(self, engine):
        """What runs the chunks by compiled code."""
        transformer = self.runner.pipeline.diffusion_model.transformer
        self.compiler = Compiler(transformer, store=engine.store, waits=not engine.swaps)
        self.compiler.attach()
        swap = HotSwap(self.compiler) if engine.swaps else None
        return WholeEngine(
            Execution(), compiled=CompiledExecution(self.compiler, swap), lines=StraightLines()
        )

    def frame(self):
        """A chunk and what stands around it: what steers it, and its pixels as uint8."""
        index = self.rollout.next_index
        control = self.runner.control(index, self.chunk)
        began = time.perf_counter()
        self.chunk = self.runner.pipeline.generate(index, self.rollout, input=control)
        generated = time.perf_counter()
        self.runner.frames(to_uint8(self.chunk))
        finalizing = time.perf_counter()
        self.runner.pipeline.finalize(index, self.rollout)
        self.seconds.append(generated - began + time.perf_counter() - finalizing)


@dataclass
class Engine:
    """How a drive is compiled."""

    store: ArtefactStore
    swaps: bool = False


def bare(calls):
    """The heavy operators of one chunk and nothing else."""
    for func, args, kwargs in calls:
        func(*args, **kwargs)


def seconds(function, repeats):
    """Seconds of each of ``repeats`` calls, the median."""
    times = []
    for _ in range(repeats):
        began = time.perf_counter()
        function()
        times.append(time.perf_counter() - began)
    return statistics.median(times)


@torch.no_grad()
def measure(slug, store, chunks, rounds):
    """Medians of the rounds, each of which times all three, and their quartiles."""
    eager, compiled = Drive(slug), Drive(slug, Engine(store))
    for drive in (eager, compiled):
        for _ in range(30):  # fills the window
            drive.frame()
    with HeavyOperators() as recorded:
        eager.frame()
    each, rows = max(1, chunks // rounds), []
    for _ in range(rounds):
        row = {"bare": seconds(lambda: bare(recorded.calls), each)}
        for name, drive in (("eager", eager), ("compiled", compiled)):
            drive.seconds.clear()
            row[f"{name} frame"] = seconds(drive.frame, each)
            row[f"{name} chunk"] = statistics.median(drive.seconds)
        rows.append(row)
    return {
        "milliseconds": {name: quartiles([1000 * row[name] for row in rows]) for name in rows[0]},
        "over bare": {name: quartiles([row[name] / row["bare"] for row in rows]) for name in rows[0]},
        "speed-up of a chunk": quartiles([row["eager chunk"] / row["compiled chunk"] for row in rows]),
        "heavy operators": len(recorded.calls),
        "kinds of call": compiled.compiler.seen,
        "recompiles after the first chunk": len(compiled.compiler.late) + compiled.compiler.seen - 1,
        "seconds compiling": compiled.compiler.seconds,
    }


def quartiles(values):
    """The lower quartile, the median, the upper quartile."""
    return statistics.quantiles(values, n=4) if len(values) > 1 else 3 * values


def start(slug, folder, hot_swap):
    """In a process of its own: the first chunk, then more until compiled code takes over, if it is to."""
    torch.set_num_threads(1)
    drive = Drive(slug, Engine(ArtefactStore(Path(folder)), swaps=True) if hot_swap else None)
    drive.frame()
    print(json.dumps({"first chunk": time.time()}), flush=True)
    drive.seconds.clear()
    while drive.rollout.path != "compiled" and len(drive.seconds) < (10000 if hot_swap else 200):
        drive.frame()
    print(json.dumps({"chunk ms": 1000 * statistics.median(drive.seconds), "swap": len(drive.seconds)}))


def cold_starts(slug, folder, repeats):
    """Seconds from the start of a process to its first chunk; eager, and with compiling going on behind."""
    found = {"eager": [], "compiling behind": [], "warm cache": []}
    details = {}
    for n in range(repeats):
        for name in found:
            store = f"{folder}/{n}" if name != "eager" else "-"
            began = time.time()
            lines = subprocess.run(
                [sys.executable, __file__, slug, "--start", store], capture_output=True, text=True, check=True
            ).stdout.splitlines()
            found[name].append(json.loads(lines[0])["first chunk"] - began)
            details[name] = json.loads(lines[1])
    return {"first chunk s": {name: min(times) for name, times in found.items()}, "then": details}


def main():
    """Measure, print tables, and end with JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("slug", nargs="?", default="pocket-racer")
    parser.add_argument("--chunks", type=int, default=400)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--starts", type=int, default=1, help="cold starts of each kind; 0 for none")
    parser.add_argument("--start", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.start:
        start(options.slug, options.start, options.start != "-")
        return
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        found = measure(options.slug, ArtefactStore(Path(folder)), options.chunks, options.rounds)
        starts = cold_starts(options.slug, folder + "/starts", options.starts) if options.starts else {}
    report(found, starts)
    versions = {"torch": torch.__version__, "python": platform.python_version()}
    told = {"slug": options.slug, "machine": platform.machine(), "threads": 1, **versions}
    print(json.dumps({**told, **found, "starts": starts}))


def report(found, starts):
    """The figures for people."""
    print(f"{'':<16} {'ms':>7} {'quartiles':>16} {'over bare':>10}")
    for name, (low, middle, high) in found["milliseconds"].items():
        print(f"{name:<16} {middle:>7.2f} {low:>7.2f} - {high:>6.2f} {found['over bare'][name][1]:>10.2f}")
    print(f"A chunk is {found['speed-up of a chunk'][1]:.2f} times as fast compiled.")
    print(f"{found['kinds of call']} kind of call; compiled in {found['seconds compiling']:.1f} s.")
    for name, least in starts.get("first chunk s", {}).items():
        print(f"first chunk of a new process, {name}: {least:.2f} s; then {starts['then'][name]}")


if __name__ == "__main__":
    main()
