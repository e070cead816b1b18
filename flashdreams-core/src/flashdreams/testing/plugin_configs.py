"""What a plugin's slugs and components promise: configs that load, are explained, and can be written down."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from flashdreams.errors import FlashDreamsError, TargetError
from flashdreams.infra.config.fields import config_fields, field_values
from flashdreams.infra.config.file import apply_differences, differences, dump, parse, resolved
from flashdreams.infra.config.target import resolve_target, target_text
from flashdreams.infra.runner.config import RunnerConfig
from flashdreams.plugins.blame import FAILURES, one_line
from flashdreams.plugins.naming import finder, namer
from flashdreams.plugins.needs import missing
from flashdreams.plugins.specs import CommandSpec, RunnerSpec
from flashdreams.plugins.targets import load_command
from flashdreams.testing.contract import Contract, broken
from flashdreams.testing.installed_plugin import (
    Added,
    InstalledPlugin,
    load_config,
    nested_configs,
    owners_of,
)


class ConfigPromises(Contract):
    """Every lazy target leads somewhere."""

    if TYPE_CHECKING:

        @property
        def plugin(self) -> InstalledPlugin:
            """The installed plugin."""

    def test_every_target_resolves(self) -> None:
        """Of slugs and components to configs, of commands to functions."""
        for entry in self.plugin.added:
            try:
                found = _found(entry)
            except FAILURES as error:
                broken(
                    f"The target {entry.spec.target} of {entry.spec.label} fails: {one_line(error)}",
                    'A target reads "package.module:NAME": a config or a function that returns one, of a '
                    "command a function main(argv) -> int.",
                    f"Correct it, or the module: python -c 'import {entry.spec.target.partition(':')[0]}'",
                )
            if isinstance(entry.spec, RunnerSpec) and not isinstance(found, RunnerConfig):
                broken(
                    f"The slug {entry.spec.slug} is a {type(found).__name__}.",
                    "A slug names a RunnerConfig: a pipeline with what it is run with.",
                    "Wrap the pipeline: RunnerConfig(runner_name=..., pipeline=...).",
                )

    def test_runner_names_are_slugs(self) -> None:
        """The config knows its own name."""
        for entry, config in self.plugin.configs():
            if isinstance(config, RunnerConfig) and config.runner_name != entry.spec.key[-1]:
                broken(
                    f"The runner_name of {entry.spec.target} is {config.runner_name!r}, and its slug "
                    f"{entry.spec.key[-1]!r}.",
                    "Both are one name: outputs and records are named by it.",
                    "Give both the same.",
                )

    def test_everything_named_can_be_imported(self) -> None:
        """What configs build, those nested in them included; where its needs are met."""
        for where, config in self._parts(where_needs_are_met=True):
            try:
                resolve_target(config._target, f"_target of {where}")
            except TargetError as error:
                broken(error.what, error.right, error.next)

    def test_what_is_built_comes_with_its_requirements(self) -> None:
        """No part lies in a distribution that it does not require."""
        required = self.plugin.requirements()
        for where, config in self._parts():
            target = config._target if isinstance(config._target, str) else target_text(config._target)
            module = target.partition(":")[0].partition(".")[0]
            owners = owners_of(module)
            if owners and not owners & required and module not in self.plugin.packages:
                owner = min(owners)
                broken(
                    f"{where} is built by {target}, which is installed by {owner}.",
                    f"What {self.plugin.name} builds comes with it, or with what it requires.",
                    f'Add "{owner}" to dependencies in pyproject.toml.',
                )

    def test_every_field_is_explained(self) -> None:
        """In ``--help`` and in the documentation."""
        for where, config in self._parts():
            for info in config_fields(config):
                if not info.doc:
                    broken(
                        f"The field {type(config).__name__}.{info.name} of {where} has no docstring.",
                        "`flashdreams run SLUG --help` explains every field by the string below it.",
                        f'Write one line below it: """What {info.name} is, and its unit."""',
                    )

    def test_help_can_be_printed(self) -> None:
        """``flashdreams run SLUG --help``."""
        from flashdreams.cli.flags import flags_help

        for entry, config in self.plugin.configs():
            if isinstance(config, RunnerConfig):
                try:
                    flags_help(config, f"flashdreams run {entry.spec.key[-1]}")
                except FAILURES as error:
                    broken(
                        f"flashdreams run {entry.spec.key[-1]} --help fails: {one_line(error)}",
                        "Every field has a type of the stated grammar: numbers, texts, Literals, paths, "
                        "lists, tuples, dicts, configs.",
                        "Correct the type of that field; Any cannot be a flag.",
                    )

    def test_configs_are_their_fields(self) -> None:
        """Made again from its fields, a config is the same: so it can be derived, copied and compared."""
        for where, config in self._parts():
            try:
                again = type(config)(**field_values(config))
            except FlashDreamsError as error:
                broken(error.what, error.right, error.next)
            if again != config:
                broken(
                    f"The {type(config).__name__} of {where}, made again from its own fields, is another.",
                    "A config is its fields: __post_init__ only validates, and derived values are "
                    "properties.",
                    "Move what __post_init__ sets into a @property, or into the class that is built.",
                )

    def test_configs_can_be_written_down(self) -> None:
        """A run is its slug and what differs from it, written beside its output."""
        registry = self.plugin.registry
        for entry, config in self.plugin.configs():
            if not isinstance(config, RunnerConfig):
                continue
            changed = load_config(entry)
            changed.seed = config.seed + 1  # type: ignore[attr-defined]
            try:
                written = parse(dump(differences(changed, config, namer(registry))))
                restored = apply_differences(config, written, finder(registry))
                resolved(config)
            except FlashDreamsError as error:
                broken(error.what, error.right, error.next)
            if restored != changed:
                broken(
                    f"The config of {entry.spec.label} with another seed, written and read again, is "
                    "another.",
                    "A config is equal to one with the same fields.",
                    "Make it, and every config in it, a @dataclass(kw_only=True) without an __eq__ of its "
                    "own.",
                )

    def _parts(self, *, where_needs_are_met: bool = False) -> list[tuple[str, Any]]:
        """Every config with a target, those nested in others included, and what it is called."""
        return [
            (f"{entry.spec.label}{f', {where}' * bool(where)}", part)
            for entry, config in self.plugin.configs()
            if not (where_needs_are_met and missing(entry.spec.needs))
            for where, part in nested_configs(config)
            if hasattr(part, "_target")
        ]


def _found(entry: Added) -> Any:
    """What the target of an entry leads to."""
    return load_command(entry.spec) if isinstance(entry.spec, CommandSpec) else load_config(entry)
