"""``flashdreams plugins uninstall``: pip in this environment, unless something that stays needs it."""

from __future__ import annotations

import importlib
from collections.abc import Sequence

from packaging.utils import canonicalize_name

from flashdreams.cli import pip
from flashdreams.cli.console import help_page, table
from flashdreams.cli.options import HELP, Option, looks_like_flag, option_rows, take_options
from flashdreams.errors import PluginInstallError, UsageError, did_you_mean
from flashdreams.plugins.api import CORE
from flashdreams.plugins.registry import installed_registry
from flashdreams.plugins.resolution import Package, Packages, installed_packages, needed_by

SUMMARY = "Uninstall plugins with pip, unless something that stays needs them."

DRY_RUN = Option("--dry-run", "Show what would go, and change nothing.")


def main(argv: list[str]) -> int:
    """Uninstall the plugins that the line names. Asks nothing.

    Raises:
        UsageError: The line names none.
        PluginInstallError: One is no plugin, or something that stays needs it.
    """
    taken, names = take_options(argv, (DRY_RUN, HELP))
    if HELP.name in taken:
        print(_help())
        return 0
    _check_line(names)
    packages = installed_packages()
    going = list(dict.fromkeys(_plugin(packages, name) for name in names))
    _refuse_harm(packages, going)
    print(table(("GOES", "SLUGS"), [(str(package), _slugs(package)) for package in going]))
    if DRY_RUN.name in taken:
        print("Nothing was changed.")
        return 0
    pip.uninstall([package.name for package in going])
    _check_gone(going)
    return 0


def _check_line(names: Sequence[str]) -> None:
    flags = [name for name in names if looks_like_flag(name)]
    if flags or not names:
        raise UsageError(
            f"`flashdreams plugins uninstall` was given {flags[0] if flags else 'no name'}.",
            "It takes names of distributions, as `flashdreams plugins` shows them.",
            "See `flashdreams plugins uninstall --help`.",
        )


def _plugin(packages: Packages, name: str) -> Package:
    if canonicalize_name(name) == canonicalize_name(CORE):
        raise PluginInstallError(
            f"{CORE} is what runs this command.",
            "It takes plugins.",
            f"Uninstall it with pip: pip uninstall {CORE}",
        )
    package = packages.get(canonicalize_name(name))
    if package is not None and package.is_plugin:
        return package
    plugins = [p.name for p in packages.values() if p.is_plugin and p.name != CORE]
    raise PluginInstallError(
        f"{name} is {'no plugin' if package else 'not installed'}.",
        did_you_mean(name, plugins),
        f"Uninstall it with pip: pip uninstall {name}" if package else "See them with: flashdreams plugins",
    )


def _refuse_harm(packages: Packages, going: Sequence[Package]) -> None:
    for package in going:
        others = [str(other) for other in needed_by(packages, package.name) if other not in going]
        if others:
            raise PluginInstallError(
                f"{package} is needed by {' and by '.join(sorted(others))}.",
                "What stays must go on working. Nothing was changed.",
                f"Uninstall those first, or with it: name them on the line beside {package.name}.",
            )


def _slugs(package: Package) -> str:
    runners = installed_registry().runners()
    return ", ".join(r.spec.slug for r in runners if r.origin.distribution == package.name) or "-"


def _check_gone(going: Sequence[Package]) -> None:
    importlib.invalidate_caches()
    left = installed_packages()
    for package in going:
        if canonicalize_name(package.name) in left:
            raise PluginInstallError(
                f"{package} is still found.",
                "pip removes what lies in its own environment, and nothing that comes by PYTHONPATH.",
                "Take its folder off PYTHONPATH.",
            )


def _help() -> str:
    usage = "flashdreams plugins uninstall NAME ... [options]"
    return help_page(usage, SUMMARY, [("options", option_rows([DRY_RUN]))])
