"""``flashdreams plugins``: what is installed, what it adds, whether it works; and what is done with it."""

from __future__ import annotations

import json
import textwrap
from importlib import import_module
from typing import Any

from flashdreams.cli.console import help_page
from flashdreams.cli.options import HELP, JSON, Option, option_rows, stdout_kept, take_options
from flashdreams.errors import UsageError, did_you_mean
from flashdreams.plugins.api import UNDECLARED_API
from flashdreams.plugins.registry import installed_registry
from flashdreams.plugins.report import PluginReport, report

SUMMARY = "Show the plugins, what they add, and whether it all loads; check, install or uninstall some."

TRACEBACKS = Option("--verbose", "Show the traceback of whatever failed.", short="-v")

ACTIONS = {
    "check": "flashdreams.cli.plugins_check",
    "install": "flashdreams.cli.plugins_install",
    "uninstall": "flashdreams.cli.plugins_uninstall",
}
"""What can follow ``flashdreams plugins``, and the module of each: ``SUMMARY``, and ``main(argv) -> int``."""


def main(argv: list[str]) -> int:
    """Show the plugins, or do what the first word says.

    Showing loads every slug and component, and so may import torch.

    Raises:
        FlashDreamsError: Something that the user can put right.
    """
    if argv and argv[0] in ACTIONS:
        code: int = import_module(ACTIONS[argv[0]]).main(argv[1:])
        return code
    taken, rest = take_options(argv, (JSON, TRACEBACKS, HELP))
    if HELP.name in taken:
        print(_help())
        return 0
    if rest:
        raise UsageError(
            f"`flashdreams plugins` does not take {rest[0]!r}.",
            did_you_mean(rest[0], [*ACTIONS, JSON.name, TRACEBACKS.name, HELP.name]),
            "See `flashdreams plugins --help`.",
        )
    with stdout_kept():
        plugins = [described(plugin) for plugin in report(installed_registry())]
    if JSON.name in taken:
        print(json.dumps(plugins, indent=2))
    else:
        print("\n\n".join(text(plugin, TRACEBACKS.name in taken) for plugin in plugins))
    return 0


def described(plugin: PluginReport) -> dict[str, Any]:
    """What is known of a plugin, as plain values."""
    return {
        "distribution": plugin.origin.distribution,
        "version": plugin.origin.version,
        "way": plugin.way,
        "name": plugin.origin.plugin or None,
        "api": plugin.api,
        "hooks": list(plugin.hooks),
        "slugs": plugin.slugs,
        "components": plugin.components,
        "commands": plugin.commands,
        "deprecations": [each.message for each in plugin.deprecations],
        "startup_ms": round(plugin.startup_ms, 2),
        "loading_ms": round(plugin.loading_ms, 2),
        "healthy": plugin.is_healthy,
        "problems": plugin.problems,
        "tracebacks": [fault.traceback for fault in plugin.faults if fault.traceback],
    }


def text(plugin: dict[str, Any], tracebacks: bool = False) -> str:
    """What :func:`described` says, for people."""
    rows = [("plugin", plugin["name"]), ("way in", plugin["way"])]
    rows += [("plugin API", plugin["api"] or f"{UNDECLARED_API}, as none is declared")]
    rows += [(key, ", ".join(plugin[key])) for key in ("hooks", "slugs", "components", "commands")]
    rows += [("import time", _import_time(plugin))]
    rows += [("deprecated", message) for message in plugin["deprecations"]]
    rows += [("health", problem) for problem in plugin["problems"] or ["ok"]]
    title = f"{plugin['distribution']} {plugin['version']}".rstrip()
    blocks = [title, *(f"  {key:12}{value}" for key, value in rows if value)]
    if tracebacks:
        blocks += [textwrap.indent(traceback.rstrip(), "    ") for traceback in plugin["tracebacks"]]
    return "\n".join(blocks)


def _import_time(plugin: dict[str, Any]) -> str:
    parts = []
    if plugin["name"]:
        parts.append(f"{plugin['startup_ms']:.1f} ms before any command")
    if plugin["slugs"] or plugin["components"]:
        parts.append(f"{plugin['loading_ms']:.1f} ms to load all that it adds")
    return ", ".join(parts)


def _help() -> str:
    usage = "flashdreams plugins [check | install | uninstall ...] [options]"
    actions = [(name, import_module(module).SUMMARY) for name, module in ACTIONS.items()]
    return help_page(usage, SUMMARY, [("actions", actions), ("options", option_rows([JSON, TRACEBACKS]))])
