"""The contract of a plugin as it is installed: what is listed, what it names, and what is in its wheel."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from os import pathsep
from typing import Any, ClassVar

from flashdreams import environment
from flashdreams.errors import PluginError
from flashdreams.plugins.api import API_GROUP, API_VERSION, misfit
from flashdreams.testing.contract import Contract, broken, skip
from flashdreams.testing.installed_plugin import InstalledPlugin, find_plugin
from flashdreams.testing.plugin_configs import ConfigPromises
from flashdreams.testing.plugin_files import FilePromises

_NAME = r"[a-z0-9]+(?:[.-][a-z0-9]+)*"
_LONGEST_SUMMARY = 120


class ListingPromises(Contract):
    """What is known of a plugin before any of its models is loaded."""

    distribution: ClassVar[str] = ""
    """Its name, as pip knows it."""

    @property
    def plugin(self) -> InstalledPlugin:
        """The installed plugin."""
        return find_plugin(self.distribution)

    def test_it_is_installed(self) -> None:
        """In this environment, with entry points of ours."""
        try:
            name = self.plugin.name
        except PluginError as error:
            broken(
                error.what,
                "A plugin is a distribution with entry points in flashdreams.plugins or "
                "flashdreams.runner_configs. " + error.right,
                "Install it (pip install -e .), and set distribution to its name in pyproject.toml; it is "
                f"{self.distribution!r} now.",
            )
        if re.fullmatch(_NAME, name) is None or name == "flashdreams":
            broken(
                f"The distribution is named {name!r}.",
                "Lower case, words joined by hyphens, and not flashdreams itself.",
                "Correct the name in pyproject.toml, to something like flashdreams-my-model.",
            )

    def test_it_declares_the_plugin_api(self) -> None:
        """The version that it was written for, readable without importing it."""
        plugin = self.plugin
        fault = misfit(plugin.origin, plugin.declared_apis)
        if fault is not None:
            broken(
                f"{plugin.origin} does not fit: {fault.reason}.",
                f"This core offers {API_VERSION}.",
                f"{fault.next}.",
            )
        if not plugin.declared_apis:
            broken(
                f"{plugin.name} does not say which plugin API it was written for.",
                "It is one entry point, whose name is the version: so too old and too new is one clear line.",
                f'Add to pyproject.toml: [project.entry-points."{API_GROUP}"] "{API_VERSION}" = "'
                f'{next(iter(sorted(plugin.packages)), "my_package")}", and install it again.',
            )

    def test_listing_it_works(self) -> None:
        """Nothing of it fails, and no name is claimed by somebody else."""
        plugin = self.plugin
        if plugin.failures:
            broken(
                plugin.failures[0],
                "`flashdreams list` names every slug and component of a plugin.",
                "See the traceback with: flashdreams plugins -v",
            )
        if plugin.claimed:
            broken(
                f"{plugin.claimed[0]}.",
                "A name belongs to one plugin.",
                "Choose another name, beginning with that of your model; or uninstall the other plugin.",
            )
        if not plugin.added and not plugin.hooks:
            broken(
                f"{plugin.name} adds nothing.",
                "A plugin has slugs, components, commands or other hooks.",
                "Return specs from its hooks, and mark these with @hookimpl.",
            )

    def test_listing_it_imports_nothing_heavy(self) -> None:
        """Not torch, not numpy: every command waits for it."""
        heavy, milliseconds = listed_afresh(self.plugin.name)
        print(f"{milliseconds:.1f} ms")
        if heavy:
            broken(
                f"Listing {self.plugin.name} imports {', '.join(heavy)}.",
                "The module of its entry point, and all that this imports, is light: every command waits for "
                "it.",
                'Name targets as text, "my_package.config:MY_RUNNER": what they name may import torch.',
            )

    def test_names_are_lower_case(self) -> None:
        """Slugs, components and commands are typed by people."""
        for entry in self.plugin.added:
            for word in entry.spec.key:
                if re.fullmatch(_NAME.replace(".-", "._-"), word) is None:
                    broken(
                        f"The {entry.spec.label} has an unusual name.",
                        "Lower case letters and digits, words joined by hyphens: family-size-task[-variant].",
                        f"Name it {re.sub(r'[^a-z0-9.]+', '-', word.lower()).strip('-')!r}, for instance.",
                    )

    def test_summaries_are_one_line(self) -> None:
        """Of something."""
        for entry in self.plugin.added:
            summary = entry.spec.summary
            if not summary.strip() or "\n" in summary or len(summary) > _LONGEST_SUMMARY:
                broken(
                    f"The summary of {entry.spec.label} is {summary[:60]!r}{'...' if summary[60:] else ''}.",
                    f"It says in one line of at most {_LONGEST_SUMMARY} characters what it is.",
                    "Write one where it is registered; a slug that is an entry point has that of its "
                    "distribution, description in pyproject.toml.",
                )


class PluginContract(FilePromises, ConfigPromises, ListingPromises):
    """A plugin, as its users have it. Set ``distribution`` to its name.

    Under pytest, what a check has measured is shown by ``pytest -rP``.
    """


def listed_afresh(distribution: str) -> tuple[list[str], float]:
    """Heavy modules that listing a distribution imports in a fresh process, and the milliseconds it takes."""
    with environment.exported("PYTHONPATH", pathsep.join(filter(None, sys.path))):
        done = subprocess.run(
            [sys.executable, "-m", "flashdreams.testing.listing", distribution],
            capture_output=True,
            text=True,
            check=False,
        )
    if done.returncode != 0:
        skip(f"a fresh process cannot load core: {done.stderr.strip().splitlines()[-1:]}")
    told: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return told["heavy"], told["milliseconds"]
