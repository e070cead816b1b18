"""``flashdreams components``: the parts that a pipeline can be made of, by name."""

from __future__ import annotations

import json

from flashdreams.cli.console import table
from flashdreams.cli.options import JSON, read_arguments, stdout_kept
from flashdreams.plugins.registry import installed_registry

SUMMARY = "List the components that are installed, or those of one kind (encoder, scheduler, ...)."


def main(argv: list[str]) -> int:
    """List the components."""
    arguments = read_arguments(argv, "components", SUMMARY, (JSON,), word="KIND")
    if arguments is None:
        return 0
    with stdout_kept():
        components = installed_registry().components(arguments.get("KIND"))
    if JSON.name in arguments:
        print(json.dumps([component.described() for component in components], indent=2))
    else:
        rows = [(c.spec.kind, c.spec.name, str(c.origin), c.spec.summary) for c in components]
        print(table(("KIND", "NAME", "DISTRIBUTION", "SUMMARY"), rows))
    return 0
