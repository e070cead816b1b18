"""What frames depend on beside seed and controls: noted in control logs, and compared before a replay."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any

from flashdreams.infra.device import resolve_device
from flashdreams.infra.runner.config import RunnerConfig
from flashdreams.infra.runner.run_record import run_record

_LEFT_OUT = frozenset(
    (*("seed", "total_blocks", "device", "threads"), *("fps", "scale", "output_dir", "output", "progress"))
)
"""Fields of a config that a log names otherwise, and those on which no frame depends."""
_NAMES = ("config", "device", "threads", "batch")
_DIGITS = 16
_LONGEST, _LONGEST_READ = 40, 200
_LARGEST_READ = 2**53


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


def told_in(tree: Mapping[str, Any], packages: Iterable[str] = ()) -> dict[str, str | float]:
    """What a control log says that it was made with, whoever has written it; no more than can be compared.

    Args:
        tree: The log as plain values. One of an earlier version says nothing.
        packages: Those whose versions are wanted, too.
    """
    told = {}
    for part, names in (("versions", packages), ("made_with", _NAMES)):
        given = tree.get(part)
        if isinstance(given, Mapping):
            told.update({name: _comparable(given[name]) for name in names if name in given})
    return told


def changes_since(then: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """What differs between two times, of what both tell, one line each."""
    return [
        f"{name} was {str(then[name])[:_LONGEST]!r}, and is {str(now[name])!r}"
        for name in now
        if name in then and then[name] != now[name]
    ]


def _comparable(value: Any) -> str | float:
    """A value as it is, or what it is, where nothing that is compared could be so."""
    if isinstance(value, str):
        return value[:_LONGEST_READ]
    is_number = isinstance(value, int | float) and abs(value) < _LARGEST_READ
    return value if is_number else type(value).__name__


def _fingerprint(config: RunnerConfig, device: str, threads: int) -> str:
    """The beginning of a SHA-256 over what differs from the slug, and over the files that it names."""
    record = run_record(config, device=device, threads=threads)
    changes = {name: value for name, value in (record["config"] or {}).items() if name not in _LEFT_OUT}
    told = [changes, sorted(record["made_from"].get("files", {}).values())]
    return hashlib.sha256(json.dumps(told, sort_keys=True, default=str).encode()).hexdigest()[:_DIGITS]
