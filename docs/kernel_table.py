"""Compile every kernel ahead of time, and write what it needs of each card to docs/kernels.md.

    python docs/kernel_table.py                # writes the page and docs/kernels.json
    python docs/kernel_table.py --check 90     # compares them with what is compiled now, for sm_90

No card is needed: the kernels are launched on CPU tensors through a driver that stands for a card and only
compiles, so what is compiled is what a launch on that card would compile.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import triton
from triton.backends.compiler import GPUTarget
from triton.runtime import driver
from triton.runtime.jit import JITFunction

from flashdreams.testing.kernel_cases import KernelCase, kernel_cases

PAGE = Path(__file__).parent / "kernels.md"
FIGURES = PAGE.with_suffix(".json")
CARDS = (80, 90, 100, 120)
"""Compute capabilities: A100, H100 and H200, B200, and the GeForce 50 series."""
CUOBJDUMP = Path(triton.__file__).parent / "backends/nvidia/bin/cuobjdump"

Row = dict[str, Any]
Compiled = Any

HEAD = """\
# Kernels

<!-- Written by docs/kernel_table.py -->

Each kernel of `flashdreams.core.kernels`, compiled ahead of time for four generations of cards by triton
{version}, at the sizes of Wan 2.1's two models (12 and 40 heads of 128 channels) and at the widest that it
takes. For each card: **registers of a thread / bytes of shared memory / bytes spilled**. "Wide" says how many
of the loads and stores in the code move 16 bytes at once; the others fetch angles, an index, or the single
values of a picture. "Twin": the card lacks what the kernel needs, as float8 before sm_89, and
the twin runs.

None of these figures is a speed. Kernels are timed against their twins on a card by `nox -s gpu`
([GPU checks](gpu-checks.md)). That each computes what its twin does is tested in Triton's interpreter.

| kernel | sizes | dtype | threads | wide | {cards} |
|---|---|---|---|---|{rules}|
"""


class CompilingDriver:
    """What Triton asks of a card, without one: launches compile, and stop there."""

    def __init__(self, capability: int) -> None:
        self.target = GPUTarget("cuda", capability, 32)

    def get_current_target(self) -> GPUTarget:
        """The card that is compiled for."""
        return self.target

    def get_current_device(self) -> int:
        """A number for each target: Triton remembers what it compiled by it."""
        return int(self.target.arch)

    def get_current_stream(self, device: int) -> int:
        """Nothing runs on it."""
        return 0


def compiled(case: KernelCase, capability: int) -> Compiled:
    """What launching the case on a card of this capability compiles."""
    found: list[Compiled] = []
    launch = JITFunction.run

    def compile_only(self: JITFunction, *args: Any, grid: Any, warmup: bool, **kwargs: Any) -> Compiled:
        found.append(launch(self, *args, grid=grid, warmup=True, **kwargs))
        return found[-1]

    driver.set_active(CompilingDriver(capability))
    JITFunction.run = compile_only
    try:
        case.run_kernel(*case.inputs)
    finally:
        JITFunction.run = launch
    (kernel,) = found
    return kernel


def needs(kernel: Compiled) -> Row:
    """Registers, spills and shared memory of a compiled kernel, and how it reads and writes memory."""
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(kernel.asm["cubin"])
        file.flush()
        usage = subprocess.run(
            [CUOBJDUMP, "-res-usage", file.name], capture_output=True, text=True, check=True
        )
    counted = {name: int(n) for name, n in re.findall(r"\b(REG|STACK|LOCAL):(\d+)", usage.stdout)}
    moves = re.findall(r"(?:ld|st)\.global\S*", kernel.asm["ptx"])
    return {
        "registers": counted["REG"],
        "spilled_bytes": counted["STACK"] + counted["LOCAL"],
        "shared_bytes": kernel.metadata.shared,
        "moves": len(moves),
        "moves_of_16_bytes": sum(move.endswith(("v4.b32", "v2.b64")) for move in moves),
    }


def measured(cards: tuple[int, ...]) -> list[Row]:
    """A row for each case."""
    rows = []
    for case in kernel_cases("cpu", tokens=16, frames=1):
        having = [card for card in cards if divmod(card, 10) >= case.since]
        kernels = {card: compiled(case, card) for card in having}
        rows.append(
            {
                "kernel": case.kernel,
                "sizes": case.sizes,
                "dtype": str(case.dtype).removeprefix("torch."),
                "threads": 32 * next(iter(kernels.values())).metadata.num_warps,
                "cards": {f"sm_{card}": needs(kernel) for card, kernel in kernels.items()},
            }
        )
    return rows


def page(rows: list[Row]) -> str:
    """The table for people."""
    cards, rules = " | ".join(f"sm_{card}" for card in CARDS), "|".join("---" for _ in CARDS)
    head = HEAD.format(version=triton.__version__, cards=cards, rules=rules)
    return head + "".join(map(line, rows))


def line(row: Row) -> str:
    """A row for people."""
    moves = next(iter(row["cards"].values()))
    wide = f"{moves['moves_of_16_bytes']} of {moves['moves']}"
    cells = [f"`{row['kernel']}`", row["sizes"], row["dtype"], str(row["threads"]), wide]
    cells += [cell(row["cards"].get(f"sm_{card}")) for card in CARDS]
    return f"| {' | '.join(cells)} |\n"


def cell(needed: Row | None) -> str:
    """What a kernel needs of one card."""
    if needed is None:
        return "twin"
    return " / ".join(str(needed[name]) for name in ("registers", "shared_bytes", "spilled_bytes"))


def differences(committed: list[Row], rows: list[Row]) -> list[str]:
    """Where the committed rows are not those of now, for the cards that were compiled now."""
    cards = {card for row in rows for card in row["cards"]}
    before = [
        row | {"cards": {card: needed for card, needed in row["cards"].items() if card in cards}}
        for row in committed
    ]
    return [f"committed {a}\nnow       {b}" for a, b in zip(before, rows, strict=False) if a != b] + (
        [] if len(before) == len(rows) else [f"{len(before)} rows are committed, and there are {len(rows)}."]
    )


def main() -> int:
    """Write the page, or check it; the exit code is 1 where it is out of date or a kernel spills."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", nargs="+", type=int, metavar="CAPABILITY")
    asked = parser.parse_args().check
    rows = measured(tuple(asked or CARDS))
    if asked:
        committed = json.loads(FIGURES.read_text(encoding="utf-8"))
        found = differences(committed["rows"], rows)
        print("\n".join(found) or f"{len(rows)} kernels are as committed.")
        return 1 if found else 0
    PAGE.write_text(page(rows), encoding="utf-8")
    figures = {"triton": triton.__version__, "rows": rows}
    FIGURES.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
