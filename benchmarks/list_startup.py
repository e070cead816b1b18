"""How long `flashdreams list` takes, beside `python -c "import torch"`.

    python benchmarks/list_startup.py [--rounds 15]

Whole processes, started in turns so that both meet the same machine. The median of `list` should be at
most 0.25 s and at most a fifth of torch's. The last line is JSON.
"""

import argparse
import json
import platform
import statistics
import subprocess
import sys
import time
from importlib import metadata

COMMANDS = {
    "flashdreams list": [sys.executable, "-m", "flashdreams", "list"],
    "import torch": [sys.executable, "-c", "import torch"],
    "python alone": [sys.executable, "-c", "pass"],
}


def seconds(command):
    """Wall-clock seconds of one process, output thrown away."""
    start = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


def measure(rounds):
    """Seconds of every round, by name; a first round that fills the disk cache is not counted."""
    taken = {name: [] for name in COMMANDS}
    for number in range(rounds + 1):
        for name, command in COMMANDS.items():
            elapsed = seconds(command)
            if number:
                taken[name].append(elapsed)
    return taken


def main():
    """Measure, and print a table and JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=15)
    taken = measure(parser.parse_args().rounds)
    medians = {name: statistics.median(times) for name, times in taken.items()}
    print(f"{'':18} {'median s':>9} {'min':>7} {'max':>7}")
    for name, times in taken.items():
        print(f"{name:18} {medians[name]:>9.3f} {min(times):>7.3f} {max(times):>7.3f}")
    ratio = medians["flashdreams list"] / medians["import torch"]
    print(f"\nlist takes {ratio:.2f} of import torch (goal: at most 0.20, and at most 0.25 s)")
    versions = {"torch": metadata.version("torch"), "python": platform.python_version()}
    print(json.dumps({"machine": platform.machine(), **versions, "median_seconds": medians, "ratio": ratio}))


if __name__ == "__main__":
    main()
