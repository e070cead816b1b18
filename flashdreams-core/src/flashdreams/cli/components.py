"""``flashdreams components``: the parts that a pipeline can be made of, by name."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from flashdreams.cli.arguments import JSON, read_arguments, stdout_kept
from flashdreams.cli.table import table
from flashdreams.plugins.entries import ComponentEntry
from flashdreams.plugins.registry import get_registry

SUMMARY = "List the components that are installed, or those of one kind (encoder, scheduler, ...)."


def main(argv: list[str]) -> int:
    """List the components."""
    arguments = read_arguments(argv, "components", SUMMARY, (JSON,), word="KIND")
    if arguments is None:
        return 0
    with stdout_kept():
        components = get_registry().components(arguments.get("KIND"))
    if JSON.name in arguments:
        print(json.dumps([_component(component) for component in components], indent=2))
    else:
        rows = [(c.kind, c.name, str(c.origin), c.summary) for c in components]
        print(table(("KIND", "NAME", "DISTRIBUTION", "SUMMARY"), rows))
    return 0


def _component(component: ComponentEntry) -> dict[str, Any]:
    described = {"kind": component.kind, "name": component.name, **asdict(component)}
    del described["origin"]
    return described | {"distribution": component.distribution, "version": component.version}
