"""``flashdreams list``: the slugs that are installed."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from typing import Any

from flashdreams.cli.console import table
from flashdreams.cli.options import JSON, Option, read_arguments, stdout_kept
from flashdreams.plugins.blame import BrokenPlugin
from flashdreams.plugins.catalogue import offers
from flashdreams.plugins.entries import Clash, Entry
from flashdreams.plugins.registry import Registry, installed_registry
from flashdreams.plugins.specs import RunnerSpec

SUMMARY = "List the slugs that are installed."

CHECK = Option("--check", "Load each slug and name what fails; the exit code is then 1.")


def main(argv: list[str]) -> int:
    """List the slugs; 1 where ``--check`` finds something broken, else 0."""
    arguments = read_arguments(argv, "list", SUMMARY, (JSON, CHECK))
    if arguments is None:
        return 0
    registry = installed_registry()
    with stdout_kept():
        runners, faults = registry.runners(), registry.broken()
        if CHECK.name in arguments:
            faults += registry.check(runners)
    print(_json(runners, faults, registry) if JSON.name in arguments else _text(runners))
    blames = [fault.blame for fault in faults] + [clash.blame for clash in registry.clashes()]
    for blame in blames:
        print(blame, file=sys.stderr)
    return 1 if CHECK.name in arguments and blames else 0


def _text(runners: Iterable[Entry[RunnerSpec]]) -> str:
    rows = [(runner.spec.slug, str(runner.origin), runner.spec.summary) for runner in runners]
    if not rows:
        return _offers()
    return table(("SLUG", "DISTRIBUTION", "SUMMARY"), rows)


def _offers() -> str:
    """What to do where nothing is installed."""
    known = [
        f"  {each.distribution}: {', '.join(slugs)}\n    {each.install}" for each, slugs in offers().items()
    ]
    return "\n".join(
        [
            "No slug is installed: core brings none. In a clone of FlashDreams, install a plugin that does:",
            *("", *known, ""),
            "Where they are published, by name: flashdreams plugins install NAME",
            "Or write one of your own: flashdreams new-plugin my-model",
        ]
    )


def _json(runners: Iterable[Entry[RunnerSpec]], faults: Iterable[BrokenPlugin], registry: Registry) -> str:
    document = {
        "runners": [runner.described() for runner in runners],
        "broken": [_fault(fault) for fault in faults],
        "clashes": [_clash(clash) for clash in registry.clashes()],
    }
    return json.dumps(document, indent=2)


def _fault(fault: BrokenPlugin) -> dict[str, Any]:
    return {"blame": fault.blame, "distribution": fault.distribution, "version": fault.version}


def _clash(clash: Clash) -> dict[str, Any]:
    return {"blame": clash.blame, "distributions": sorted({c.distribution for c in clash.claimants})}
