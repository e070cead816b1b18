"""The record beside an output: all that is needed to make the same video again."""

from __future__ import annotations

import platform
import shlex
from collections.abc import Iterable, Iterator, Mapping
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flashdreams.errors import ConfigFileError, InputError, PluginError
from flashdreams.infra.config.fields import field_values, is_config
from flashdreams.infra.config.file import differences, dump, resolved
from flashdreams.io.checksum import hashes_of
from flashdreams.io.outputs import write_text

if TYPE_CHECKING:
    from flashdreams.infra.runner.config import RunnerConfig

WHERE_IT_WENT = ("output", "overwrite", "profile")
"""Fields that a second run does not take over: it writes files of its own."""


def run_record(
    config: RunnerConfig,
    *,
    device: str,
    threads: int,
    read: Iterable[str | Path] = (),
    further: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """What a run is made from, as a tree of plain values.

    ``config`` holds what differs from the slug, with the number of threads spelt out, since a video is the
    same bit for bit only on as many. ``made_from`` holds seed, device, threads, SHA-256 of every file in
    the config's fields of type Path and of those that are ``read`` besides, and what is put in ``further``.
    """
    files = hashes_of([*_paths(_without_output(field_values(config))), *read])
    return {
        "slug": config.runner_name,
        "versions": versions(config.runner_name),
        "config": _changes(config, threads),
        "made_from": {
            "seed": config.seed,
            "device": device,
            "threads": threads,
            **({"files": files} if files else {}),
            **(further or {}),
        },
    }


def write_record(path: Path, record: Mapping[str, Any], made: Mapping[str, Any]) -> None:
    """Write a record, with what has been ``made`` so far, headed by the line that repeats the run.

    Raises:
        OSError: The disk is full, or failed. A record written before is there still.
    """
    slug = record["slug"]
    head = f"# Written by FlashDreams. Again: flashdreams run --config {shlex.quote(str(path))}\n"
    write_text(path, head + dump({"slug": slug, **record, "made": dict(made)}))


def check_files(record: Mapping[str, Any]) -> None:
    """Refuse to repeat a run whose input files have changed since.

    Raises:
        InputError: A file is absent, or has another SHA-256.
    """
    then: Mapping[str, str] = (record.get("made_from") or {}).get("files") or {}
    now = hashes_of(then)
    for name, hash in then.items():
        if now.get(name) != hash:
            found = f"now {now[name][:12]}..." if name in now else "now absent."
            raise InputError(
                f"{name} is not the file that the run was made from: {found}",
                f"Its SHA-256 was {hash[:12]}...",
                "Put that file back, or name the new one with its flag, without --config.",
            )


def version_changes(record: Mapping[str, Any]) -> list[str]:
    """Versions that differ between a record and this environment, one line each."""
    now = versions(str(record.get("slug")))
    then: Mapping[str, str] = record.get("versions") or {}
    return [
        f"{name} was {then[name]}, and is {now.get(name, 'not installed')}"
        for name in then
        if now.get(name) != then[name]
    ]


def versions(slug: str) -> dict[str, str]:
    """Versions of what decides about pixels: core, the slug's plugin, torch, numpy and Python."""
    from flashdreams.plugins.registry import installed_registry

    entries = installed_registry().runners()
    plugin = {e.origin.distribution: e.origin.version for e in entries if e.spec.slug == slug}
    packages = ("flashdreams-core", "torch", "numpy")
    return {
        **{name: metadata.version(name) for name in packages},
        **plugin,
        "python": platform.python_version(),
    }


def _changes(config: RunnerConfig, threads: int) -> dict[str, Any] | None:
    """What differs from the slug; everything, where nothing installed registers it."""
    from flashdreams.plugins.naming import namer
    from flashdreams.plugins.registry import installed_registry

    try:
        base = installed_registry().runner_config(config.runner_name)
        tree = _without_output(differences(config, base, namer(installed_registry())))
        return tree if base.threads == threads else {**tree, "threads": threads}
    except (PluginError, ConfigFileError):
        return _without_output(_whole(config)) or None


def _whole(config: RunnerConfig) -> dict[str, Any]:
    try:
        return resolved(config)
    except ConfigFileError:
        return {}  # a config of one's own, with values that no file can hold


def _without_output(tree: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in tree.items() if name not in WHERE_IT_WENT}


def _paths(value: Any) -> Iterator[Path]:
    """Every path in a tree of configs and plain values."""
    if isinstance(value, Path):
        yield value
    elif is_config(value):
        yield from _paths(field_values(value))
    elif isinstance(value, dict | list | tuple):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _paths(item)
