"""What frames depend on beside seed and controls: noted in control logs, and compared before a replay."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from flashdreams.infra.device import resolve_device
from flashdreams.infra.runner.config import RunnerConfig
from flashdreams.infra.runner.run_record import run_record

_LEFT_OUT = frozenset(
    (*("seed", "total_blocks", "device", "threads"), *("fps", "scale", "output_dir", "output", "progress"))
)
"""Fields of a config that a log names otherwise, and those on which no frame depends."""
_DIGITS = 16
_LONGEST = 40


def made_with(config: RunnerConfig, *, threads: int, batch: bool = False) -> dict[str, Any]:
    """What a rollout is computed with, as plain values that tell no path and no prompt.

    Args:
        config: The slug, as it is run.
        threads: How many the CPU computes with.
        batch: Whether several rollouts are computed at once.
    """
    device = resolve_device(config.device).type
    return {
        "config": _fingerprint(config, device, threads),
        "device": device,
        "threads": threads,
        "batch": batch,
    }


def changes_since(tree: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """What differs between a control log and what it is to be made again with, one line each."""
    then = tree.get("made_with")
    if not isinstance(then, Mapping):
        return []  # a log of an earlier version
    return [
        f"{name} was {str(then[name])[:_LONGEST]!r}, and is {str(now[name])!r}"
        for name in now
        if name in then and then[name] != now[name]
    ]


def _fingerprint(config: RunnerConfig, device: str, threads: int) -> str:
    """The beginning of a SHA-256 over what differs from the slug, and over the files that it names."""
    record = run_record(config, device=device, threads=threads)
    changes = {name: value for name, value in (record["config"] or {}).items() if name not in _LEFT_OUT}
    told = [changes, sorted(record["made_from"].get("files", {}).values())]
    return hashlib.sha256(json.dumps(told, sort_keys=True, default=str).encode()).hexdigest()[:_DIGITS]
