"""Triton for one purpose at a time: interpreting in a process of its own, or not there at all."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from os import pathsep

from flashdreams import environment

Fault = tuple[str, str, str]
"""What is wrong, what would be right, and what to change."""


@cache
def interpreted(path: str, module: str) -> dict[str, Fault | None]:
    """What is wrong with the kernels of the contracts in a file, by class, as Triton interprets them.

    They run in a process of their own: one that has compiled cannot interpret. Where none could be run, what
    is wrong stands under no name. ``module`` is the name by which the file was imported.
    """
    line = [sys.executable, "-m", "flashdreams.testing.interpreted_kernels", path]
    line += [module] * (module != "__main__")
    places = pathsep.join(filter(None, sys.path))
    with environment.exported("TRITON_INTERPRET", "1"), environment.exported("PYTHONPATH", places):
        done = subprocess.run(line, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        return {"": not_run("The file", done.stderr.strip()[-300:], path)}
    told: dict[str, Fault | None] = json.loads(done.stdout.splitlines()[-1])
    return told


def not_run(name: str, why: str, path: str) -> Fault:
    """A kernel that could not be launched at all."""
    return (
        f"{name} cannot be run by Triton's interpreter: {why}",
        "The kernel is launched with what inputs() draws, on a CPU.",
        f"See it with: TRITON_INTERPRET=1 python -m flashdreams.testing.interpreted_kernels {path}",
    )


@contextmanager
def without_triton() -> Iterator[None]:
    """Let nothing import Triton inside."""
    before = sys.modules.get("triton")
    sys.modules["triton"] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        if before is None:
            del sys.modules["triton"]
        else:
            sys.modules["triton"] = before


def is_interpreting() -> bool:
    """Whether Triton interprets kernels in this process."""
    import triton

    return bool(triton.knobs.runtime.interpret)
