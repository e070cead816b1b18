"""``flashdreams plugins``: what is installed, what it adds, and whether it works."""

from __future__ import annotations

import json
import textwrap

from flashdreams.cli.options import JSON, Option, read_arguments, stdout_kept
from flashdreams.plugins.registry import installed_registry
from flashdreams.plugins.report import PluginReport, report

SUMMARY = "Show the plugins, what they add, and whether each slug and component loads."

TRACEBACKS = Option("--verbose", "Show the traceback of whatever failed.", short="-v")


def main(argv: list[str]) -> int:
    """Show the plugins. Loads every slug and component, and so may import torch."""
    arguments = read_arguments(argv, "plugins", SUMMARY, (JSON, TRACEBACKS))
    if arguments is None:
        return 0
    with stdout_kept():
        reports = report(installed_registry())
    if JSON.name in arguments:
        print(json.dumps([_json(plugin) for plugin in reports], indent=2))
    else:
        print("\n\n".join(_text(plugin, TRACEBACKS.name in arguments) for plugin in reports))
    return 0


def _json(plugin: PluginReport) -> dict[str, object]:
    return {
        "distribution": plugin.origin.distribution,
        "version": plugin.origin.version,
        "way": plugin.way,
        "name": plugin.origin.plugin or None,
        "slugs": plugin.slugs,
        "components": plugin.components,
        "commands": plugin.commands,
        "healthy": plugin.is_healthy,
        "problems": plugin.problems,
        "tracebacks": [fault.traceback for fault in plugin.faults],
    }


def _text(plugin: PluginReport, tracebacks: bool) -> str:
    listed = {"slugs": plugin.slugs, "components": plugin.components, "commands": plugin.commands}
    rows = [("plugin", plugin.origin.plugin), ("way in", plugin.way)]
    rows += [(title, ", ".join(names)) for title, names in listed.items()]
    rows += [("health", problem) for problem in plugin.problems or ["ok"]]
    blocks = [str(plugin.origin), *(f"  {title:12}{text}" for title, text in rows if text)]
    if tracebacks:
        blocks += [textwrap.indent(fault.traceback.rstrip(), "    ") for fault in plugin.faults]
    return "\n".join(blocks)
