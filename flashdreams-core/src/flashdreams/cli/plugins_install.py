"""``flashdreams plugins install``: pip in this environment, unless something there would break."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterable, Sequence
from typing import Any

from packaging.utils import canonicalize_name

from flashdreams.cli import pip
from flashdreams.cli.console import help_page, table
from flashdreams.cli.options import HELP, Option, option_rows, take_options
from flashdreams.cli.pip import Change
from flashdreams.cli.plugins import text
from flashdreams.errors import PluginInstallError, UsageError
from flashdreams.plugins.resolution import Package, Packages, installed_packages, newly_unmet

SUMMARY = "Install plugins with pip, unless something that is installed would break."

DRY_RUN = Option("--dry-run", "Show what would change, and change nothing.")
ALLOW_TORCH = Option("--allow-torch", "Let pip replace torch, though the line does not name it.")

ELSEWHERE = ("--target", "-t", "--prefix", "--root", "--python", "--report")
"""Options of pip that install into another environment than this one, or report elsewhere."""

_NOTHING_CHANGED = "Nothing was changed."


def main(argv: list[str]) -> int:
    """Install what the line names; 1 where a plugin is installed and does not work, else 0.

    Raises:
        UsageError: The line names nothing, or another environment.
        PluginInstallError: It cannot be installed, or not without harm to what is.
    """
    taken, arguments = take_options(argv, (DRY_RUN, ALLOW_TORCH, HELP))
    if HELP.name in taken:
        print(_help())
        return 0
    _check_line(arguments)
    before, changes = installed_packages(), pip.resolve(arguments)
    _refuse_harm(before, changes)
    if ALLOW_TORCH.name not in taken:
        _refuse_another_torch(before, changes)
    print(_changes(before, changes))
    if not changes or DRY_RUN.name in taken:
        print(_NOTHING_CHANGED)
        return 0
    pip.install(arguments, changes)
    return _report({canonicalize_name(change.package.name) for change in changes})


def _check_line(arguments: Sequence[str]) -> None:
    if not arguments:
        raise UsageError(
            "`flashdreams plugins install` was given nothing to install.",
            "It takes what pip takes: a name, name==version, a path to a wheel or folder.",
            "Write, for instance: flashdreams plugins install PLUGIN",
        )
    for word in arguments:
        if word.partition("=")[0] in ELSEWHERE or word.startswith("-t"):
            raise UsageError(
                f"`flashdreams plugins install` does not take {word!r}.",
                f"It installs into the environment of {sys.executable}, and reads pip's report itself.",
                "Leave it out, or run pip yourself.",
            )


def _refuse_harm(before: Packages, changes: Sequence[Change]) -> None:
    after = dict(before)
    for change in changes:
        after[canonicalize_name(change.package.name)] = _known(before, change.package)
    harm = newly_unmet(before, after)
    if harm:
        name = harm[0].package.name
        way_out = f"Name {name} on the line too, so that pip looks for versions that fit all of them"
        if any(name == change.package.name for change in changes):
            way_out = f"Let pip install what {name} requires: leave out --no-deps"
        raise PluginInstallError(
            " ".join(map(str, harm)),
            f"What is installed must go on working. {_NOTHING_CHANGED}",
            f"{way_out}; or use an environment of its own: python -m venv FOLDER",
        )


def _known(before: Packages, package: Package) -> Package:
    """``package``, a plugin where the version that it replaces is one."""
    old = before.get(canonicalize_name(package.name))
    return Package(package.name, package.version, package.requires, old is not None and old.is_plugin)


def _refuse_another_torch(before: Packages, changes: Iterable[Change]) -> None:
    now = before.get("torch")
    for change in changes:
        if now is not None and canonicalize_name(change.package.name) == "torch" and not change.is_asked_for:
            raise PluginInstallError(
                f"pip would replace {now} by {change.package}, which the line does not name.",
                f"Another build of torch may not know this machine's GPU. {_NOTHING_CHANGED}",
                f"Allow it with {ALLOW_TORCH.name}, or name the build that you want: "
                f"torch=={change.package.version}",
            )


def _changes(before: Packages, changes: Sequence[Change]) -> str:
    if not changes:
        return "All of it is installed already."
    rows = [_row(before.get(canonicalize_name(change.package.name)), change) for change in changes]
    return table(("PACKAGE", "INSTALLED", "WILL BE", ""), sorted(rows))


def _row(now: Package | None, change: Change) -> tuple[str, ...]:
    why = "" if change.is_asked_for else "required"
    return change.package.name, now.version if now else "-", change.package.version, why


def _report(names: set[str]) -> int:
    """Show the plugins that came, and those that do not work now, as a new process sees them."""
    plugins = _plugins()
    came = [plugin for plugin in plugins if canonicalize_name(plugin["distribution"]) in names]
    if not came:
        print("None of it adds anything to FlashDreams.")
    shown = came + [plugin for plugin in plugins if not plugin["healthy"] and plugin not in came]
    for plugin in shown:
        print(f"\n{text(plugin)}")
    return 0 if all(plugin["healthy"] for plugin in came) else 1


def _plugins() -> list[dict[str, Any]]:
    command = [sys.executable, "-P", "-m", "flashdreams", "plugins", "--json"]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        print(done.stderr, end="", file=sys.stderr)
        raise PluginInstallError(
            "It is installed, and `flashdreams plugins` no longer works.",
            "It says why above.",
            "Uninstall what came with: pip uninstall",
        )
    plugins: list[dict[str, Any]] = json.loads(done.stdout)
    return plugins


def _help() -> str:
    usage = "flashdreams plugins install REQUIREMENT ... [options] [options of pip install]"
    return help_page(usage, SUMMARY, [("options", option_rows([DRY_RUN, ALLOW_TORCH]))])
