"""What ``run`` and ``show`` read from their line: a slug, a file, components and flags, made one config."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flashdreams.cli.by_name import finder
from flashdreams.cli.console import columns
from flashdreams.cli.options import Option, looks_like_flag
from flashdreams.cli.swap import take_swaps
from flashdreams.errors import ConfigFileError, UsageError
from flashdreams.infra.config.fields import config_fields
from flashdreams.infra.config.file import apply_differences, read
from flashdreams.infra.runner.config import RunnerConfig
from flashdreams.plugins.registry import Registry, get_registry

CONFIG = Option("--config", "File to start from: an exported config, or the run.yaml of a run.", "FILE")
USE = Option("--use", "Component for a field, by name; flashdreams components lists them.", "KIND=NAME")

ENVELOPE = ("slug", "config")
"""Keys of a file that names its slug; its fields then stand under ``config``."""


@dataclass(frozen=True)
class Request:
    """A config, and where it comes from."""

    slug: str
    base: RunnerConfig
    """The config of the slug."""
    draft: RunnerConfig
    """With the file and the components of the line. Not validated yet: the flags may complete it."""
    flags: list[str]
    """What is left of the line."""
    file: dict[str, Any]
    """All that the file holds; nothing where there is none."""


def read_request(
    taken: dict[str, list[str]], rest: Sequence[str], command: str, registry: Registry
) -> Request:
    """Find the slug, and apply file and components.

    Args:
        taken: The values of :data:`CONFIG` and :data:`USE`, by name.
        rest: The line without them: the slug first, where the file does not name it, then flags.
        command: The command so far, ``flashdreams run``, for errors.
        registry: Where slugs and components are looked up.

    Raises:
        UsageError: No slug.
        PluginError: An unknown slug or component, or a plugin that fails.
        ConfigError: A file that cannot be used, or a component that does not fit.
    """
    words = list(rest)
    said = words.pop(0) if words and not looks_like_flag(words[0]) else None
    path = _only_file(taken.get(CONFIG.name, []))
    tree = read(path) if path else {}
    slug = _agreed_slug(said, tree.get("slug"), path) or _no_slug(words, command, registry)
    base = registry.runner_config(slug)
    start = _apply_file(base, tree, path, registry)
    draft, flags = take_swaps(start, taken.get(USE.name, []), words, registry)
    return Request(slug, base, draft, flags, tree)


def open_registry() -> Registry:
    """The registry; whatever failed to load is named on stderr, one line each, and the rest works."""
    registry = get_registry()
    for blame in [fault.blame for fault in registry.broken()] + [clash.blame for clash in registry.clashes()]:
        print(blame, file=sys.stderr)
    return registry


def runnable(registry: Registry) -> list[tuple[str, str]]:
    """Every slug with its summary."""
    return [(entry.slug, entry.summary) for entry in registry.runners()]


def _only_file(paths: list[str]) -> Path | None:
    if len(paths) > 1:
        raise UsageError(
            f"--config is given {len(paths)} times: {', '.join(paths)}.",
            "A run starts from one file.",
            "Leave one of them, and set the rest with flags.",
        )
    return Path(paths[0]) if paths else None


def _agreed_slug(said: str | None, written: Any, path: Path | None) -> str | None:
    if written is not None and not isinstance(written, str):
        raise ConfigFileError(
            f"The slug in {path} is {written!r}.", "A slug is text.", "See them with: flashdreams list"
        )
    if said and written and said != written:
        raise ConfigFileError(
            f"{path} is a config of {written}, but {said} was asked for.",
            "A file changes the slug that it was written for.",
            f"Leave {said} out, or use a file of it: flashdreams show {said} --format yaml",
        )
    return said or written


def _no_slug(words: list[str], command: str, registry: Registry) -> str:
    slugs = runnable(registry)
    can_be_run = f"These can be run:\n{columns(slugs)}" if slugs else "Nothing is installed that can be run."
    if words:
        raise UsageError(
            f"{words[0]!r} stands where a slug was expected.",
            can_be_run,
            f"Put the slug first: `{command} SLUG {' '.join(words)}`. Its flags depend on it.",
        )
    step = f"Try `{command} {slugs[0][0]}`." if slugs else "Install a plugin: pip install flashdreams-NAME"
    raise UsageError("No slug was given.", can_be_run, step)


def _apply_file(
    base: RunnerConfig, tree: dict[str, Any], path: Path | None, registry: Registry
) -> RunnerConfig:
    changes = _changes(tree, path, base)
    config = apply_differences(base, changes, finder(registry))
    if config.runner_name != base.runner_name:
        raise ConfigFileError(
            f"{path} sets runner_name to {config.runner_name!r}.",
            f"It is fixed to the slug, {base.runner_name!r}.",
            "Leave runner_name out of the file.",
        )
    return config


def _changes(tree: dict[str, Any], path: Path | None, base: RunnerConfig) -> dict[str, Any]:
    if not any(key in tree for key in ENVELOPE):
        return tree
    changes = tree.get("config") or {}
    misplaced = sorted(tree.keys() & {info.name for info in config_fields(base)})
    if not isinstance(changes, dict) or misplaced:
        wrong = f"has {misplaced[0]} beside its slug" if misplaced else f"has {changes!r} for its config"
        raise ConfigFileError(
            f"{path} {wrong}.",
            "The fields of a file that names a slug stand under `config:`, as a mapping.",
            "Compare it with: flashdreams show SLUG --format yaml",
        )
    return changes
