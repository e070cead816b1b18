"""The full architecture from prompt to MP4 on a CPU, and its memory beside the plan's."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from flashdreams.io.memory import free_memory

BENCHMARK = Path(__file__).parents[3] / "benchmarks/wan_full_size.py"


@pytest.mark.slow
def test_a_chunk_at_full_size_takes_the_memory_that_was_planned():
    if (free_memory(torch.device("cpu")) or 0) < 16 * 2**30:
        pytest.skip("needs 16 GiB of free memory")
    ran = subprocess.run([sys.executable, str(BENCHMARK)], capture_output=True, text=True, timeout=900)
    assert ran.returncode == 0, ran.stderr
    figures = json.loads(ran.stdout.splitlines()[-1])
    assert figures["plan"]["total"] > 13 * 2**30
    assert 0.85 <= figures["ratio"] <= 1.15
