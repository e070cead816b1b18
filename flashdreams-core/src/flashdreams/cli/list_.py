"""``flashdreams list``: the slugs that are installed."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from typing import Any

from flashdreams.cli.arguments import JSON, read_arguments, stdout_kept
from flashdreams.cli.options import Option
from flashdreams.cli.table import table
from flashdreams.plugins.blame import BrokenPlugin
from flashdreams.plugins.entries import Clash, RunnerEntry
from flashdreams.plugins.registry import Registry, get_registry

SUMMARY = "List the slugs that are installed."

CHECK = Option("--check", "Load each slug and name what fails; the exit code is then 1.")


def main(argv: list[str]) -> int:
    """List the slugs; 1 where ``--check`` finds something broken, else 0."""
    arguments = read_arguments(argv, "list", SUMMARY, (JSON, CHECK))
    if arguments is None:
        return 0
    registry = get_registry()
    with stdout_kept():
        runners, faults = registry.runners(), registry.broken()
        if CHECK.name in arguments:
            faults += registry.check(runners)
    print(_json(runners, faults, registry) if JSON.name in arguments else _text(runners))
    blames = [fault.blame for fault in faults] + [clash.blame for clash in registry.clashes()]
    for blame in blames:
        print(blame, file=sys.stderr)
    return 1 if CHECK.name in arguments and blames else 0


def _text(runners: Iterable[RunnerEntry]) -> str:
    rows = [(runner.slug, str(runner.origin), runner.summary) for runner in runners]
    if not rows:
        return "No slug is installed. Plugins add them: pip install flashdreams-NAME"
    return table(("SLUG", "DISTRIBUTION", "SUMMARY"), rows)


def _json(runners: Iterable[RunnerEntry], faults: Iterable[BrokenPlugin], registry: Registry) -> str:
    document = {
        "runners": [_runner(runner) for runner in runners],
        "broken": [_fault(fault) for fault in faults],
        "clashes": [_clash(clash) for clash in registry.clashes()],
    }
    return json.dumps(document, indent=2)


def _runner(runner: RunnerEntry) -> dict[str, Any]:
    return {
        "slug": runner.slug,
        "summary": runner.summary,
        "distribution": runner.distribution,
        "version": runner.version,
        "plugin": runner.origin.plugin or None,
        "target": runner.target,
        "needs": list(runner.needs),
    }


def _fault(fault: BrokenPlugin) -> dict[str, Any]:
    return {"blame": fault.blame, "distribution": fault.distribution, "version": fault.version}


def _clash(clash: Clash) -> dict[str, Any]:
    return {"blame": clash.blame, "distributions": sorted({c.distribution for c in clash.claimants})}
