"""Runs files of mutants under pytest, in a process of its own, and reads what its summary names first."""

import re
import subprocess
import sys
from pathlib import Path


def summary(*paths: Path, python=sys.executable, env=None, cwd=None) -> dict[str, list[str]]:
    """Each class of these files of tests to its failed checks, in the order of pytest's summary."""
    line = [
        python,
        "-m",
        "pytest",
        "-q",
        "-rf",
        "--tb=no",
        "-p",
        "no:cacheprovider",
        "-p",
        "no:xdist",
        *map(str, paths),
    ]
    done = subprocess.run(line, capture_output=True, text=True, env=env, cwd=cwd)
    assert done.returncode == 1, done.stdout[-4000:] + done.stderr[-2000:]
    assert "\nERROR" not in done.stdout, done.stdout[-4000:]
    failed: dict[str, list[str]] = {}
    for name, check in re.findall(r"^FAILED \S+::(\w+)::(\w+)", done.stdout, re.MULTILINE):
        failed.setdefault(name, []).append(check)
    return failed
