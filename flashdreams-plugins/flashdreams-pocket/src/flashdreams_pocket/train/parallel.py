"""What every training stage shares: ranks, the clock, checkpoints and the log.

Two processes with one thread each are faster on two cores than one process with two threads.
"""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import torch.multiprocessing as mp


def launch(function: Callable[..., None], processes: int, *arguments: Any) -> None:
    """Runs `function(rank, *arguments)` in every rank of a gloo group."""
    with tempfile.TemporaryDirectory() as folder:
        store = str(Path(folder) / "store")
        mp.spawn(_rank, (processes, store, function, arguments), nprocs=processes)


def _rank(rank: int, processes: int, store: str, function, arguments) -> None:
    torch.set_num_threads(1)
    if processes > 1:
        dist.init_process_group("gloo", f"file://{store}", rank=rank, world_size=processes)
    function(rank, *arguments)
    if processes > 1:
        dist.barrier()
        dist.destroy_process_group()


class Clock:
    """Training time over all restarts, as a share of the budget. All ranks read rank 0's clock."""

    def __init__(self, seconds: float, spent: float = 0.0) -> None:
        self.seconds, self.begun = seconds, time.time() - spent

    def spent(self) -> float:
        """Seconds so far."""
        now = torch.tensor([time.time() - self.begun], dtype=torch.float64)
        if dist.is_initialized():
            dist.broadcast(now, 0)
        return float(now)


def save_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Whole or not at all: an interrupted save leaves the old checkpoint."""
    partial = path.with_suffix(".partial")
    torch.save(state, partial)
    os.replace(partial, path)


def load_checkpoint(path: Path) -> dict[str, Any] | None:
    """What was saved last, None if nothing was."""
    return torch.load(path, weights_only=True) if path.exists() else None


def log(path: Path, **values: float) -> None:
    """Adds a line of JSON to a curve."""
    line = {k: round(v, 6) if isinstance(v, float) else v for k, v in values.items()}
    print(json.dumps(line), flush=True)
    with path.open("a") as file:
        file.write(json.dumps(line) + "\n")
