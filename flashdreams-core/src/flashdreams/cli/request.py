"""What ``run`` and ``show`` read from their line: a slug, a file, components and flags, made one config."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flashdreams.cli.console import columns, help_page
from flashdreams.cli.flags import flags_help, parse_flags
from flashdreams.cli.options import HELP, Option, looks_like_flag, option_rows, take_options
from flashdreams.cli.swap import take_swaps
from flashdreams.errors import ConfigFileError, FlashDreamsError, UsageError
from flashdreams.infra.config.fields import config_fields
from flashdreams.infra.config.file import apply_differences, read
from flashdreams.infra.runner.config import RunnerConfig
from flashdreams.io.lock import references_of
from flashdreams.plugins.catalogue import HOW_TO_INSTALL
from flashdreams.plugins.naming import finder
from flashdreams.plugins.registry import Registry, installed_registry

CONFIG = Option("--config", "File to start from: an exported config, or the run.yaml of a run.", "FILE")
USE = Option("--use", "Component for a field, by name; flashdreams components lists them.", "KIND=NAME")

ENVELOPE = ("slug", "config")
"""Keys of a file that names its slug; its fields then stand under ``config``."""


@dataclass(frozen=True)
class Request:
    """What a line asks for."""

    slug: str
    base: RunnerConfig
    """The config of the slug."""
    config: RunnerConfig
    """With the file, the components and the flags of the line applied."""
    file: dict[str, Any]
    """All that the file holds; nothing where there is none."""
    options: dict[str, list[str]]
    """The values given to each option of the command, by its name."""


@dataclass(frozen=True)
class SlugCommand:
    """A command whose line reads ``flashdreams NAME SLUG [options] [flags]``."""

    name: str
    summary: str
    options: tuple[Option, ...]
    """The options that it takes beside ``--config``, ``--use`` and ``--help``."""

    @property
    def prog(self) -> str:
        """How it is called."""
        return f"flashdreams {self.name}"

    @property
    def all_options(self) -> tuple[Option, ...]:
        """Its options but ``--help``."""
        return (CONFIG, USE, *self.options)

    def read(self, argv: Sequence[str], called: str | None = None) -> Request | None:
        """Find the slug, apply file, components and flags. None where the help was asked for, and printed.

        Args:
            argv: The line behind the name of the command.
            called: What people wrote of it, where that is not its name and the slug.

        Raises:
            UsageError: No slug, or a line that cannot be understood.
            PluginError: An unknown slug or component, or a plugin that fails.
            ConfigError: A file, component or flag that cannot be used.
        """
        options, words = take_options(argv, [*self.all_options, HELP])
        registry = _open_registry()
        if HELP.name in options and not words and CONFIG.name not in options:
            print(self.overview(_runnable(registry)))
            return None
        said = words.pop(0) if words and not looks_like_flag(words[0]) else None
        path = _only_file(options.get(CONFIG.name, []))
        tree = read(path) if path else {}
        slug = _agreed_slug(said, tree.get("slug"), path) or _no_slug(words, self.prog, registry)
        base = registry.runner_config(slug)
        start = _apply_file(base, tree, path, registry)
        # Not validated yet: the flags may complete it.
        draft, flags = take_swaps(start, options.get(USE.name, []), words, registry)
        prog = called or f"{self.prog} {slug}"
        if HELP.name in options:
            print(flags_help(draft, prog, self.all_options))
            return None
        config = parse_flags(draft, flags, prog, self.all_options)
        return Request(slug, base, config, tree, options)

    def overview(self, slugs: Iterable[tuple[str, str]]) -> str:
        """The help without a slug, with the ``slugs`` that there are: slug and summary each."""
        flags = [("--FIELD VALUE", f"Any field of the config. See them all with: {self.prog} SLUG --help")]
        sections = [("slugs", slugs), ("options", option_rows(self.all_options)), ("flags", flags)]
        return help_page(f"{self.prog} SLUG [options] [flags]", self.summary, sections)


def _open_registry() -> Registry:
    """The registry; whatever failed to load is named on stderr, one line each, and the rest works."""
    registry = installed_registry()
    for problem in registry.problems():
        print(problem, file=sys.stderr)
    return registry


def _runnable(registry: Registry) -> list[tuple[str, str]]:
    return [(entry.spec.slug, entry.spec.summary) for entry in registry.runners()]


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
    slugs = _runnable(registry)
    can_be_run = f"These can be run:\n{columns(slugs)}" if slugs else "Nothing is installed that can be run."
    if words:
        raise UsageError(
            f"{words[0]!r} stands where a slug was expected.",
            can_be_run,
            f"Put the slug first: `{command} SLUG {' '.join(words)}`. Its flags depend on it.",
        )
    step = f"Try `{command} {_easiest(slugs, registry)}`." if slugs else HOW_TO_INSTALL
    raise UsageError("No slug was given.", can_be_run, step)


def _easiest(slugs: Iterable[tuple[str, str]], registry: Registry) -> str:
    """The first slug that needs no download; the first of all where each needs one, or fails to load."""
    names = [slug for slug, _ in slugs]
    for slug in names:
        with suppress(FlashDreamsError):
            if not references_of(registry.runner_config(slug)):
                return slug
    return names[0]


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
