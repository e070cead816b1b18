"""Cold starts: a new process, until its first chunk is on the host."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Sequence

from flashdreams.bench.driving import Driver
from flashdreams.errors import UsageError
from flashdreams.infra.config import derive_config
from flashdreams.infra.device import cpu_threads
from flashdreams.infra.runner.config import RunnerConfig

FIRST_CHUNK = "first_chunk_at"
"""Key of the moment, in seconds since 1970, at which the first chunk was there."""


def first_chunk(config: RunnerConfig) -> dict[str, float]:
    """Make the first chunk in this process, and say when it was there."""
    with cpu_threads(config.threads):
        Driver(derive_config(config, total_blocks=1)).drive(1)
    return {FIRST_CHUNK: time.time()}


def cold_start(words: Sequence[str]) -> float:
    """Seconds from starting a process until its first chunk is there.

    The operating system may still hold files of an earlier process in memory.

    Args:
        words: Of the line of ``flashdreams`` that calls :func:`first_chunk` and prints what it returns as
            its last line.

    Raises:
        UsageError: The process failed; what it said is on stderr.
    """
    began = time.time()
    done = subprocess.run([sys.executable, "-m", "flashdreams", *words], stdout=subprocess.PIPE, text=True)
    if done.returncode:
        raise UsageError(
            f"A new process failed with exit code {done.returncode}.",
            "It makes the first chunk of the slug, and ends.",
            f"Try it yourself: flashdreams {' '.join(words)}",
        )
    moment: float = json.loads(done.stdout.splitlines()[-1])[FIRST_CHUNK]
    return moment - began
