"""Write the catalogue of known slugs from the entry points of this workspace's plugins.

    python flashdreams-core/scripts/generate_catalogue.py [--check]

With --check nothing is written, and the exit code is 1 where the catalogue is out of date.
"""

from __future__ import annotations

import argparse
import json
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from flashdreams.plugins.blame import Origin
from flashdreams.plugins.installed import PLUGIN_GROUP, RUNNER_GROUP
from flashdreams.plugins.loading import load_plugin

WORKSPACE = Path(__file__).resolve().parents[2]
CATALOGUE = WORKSPACE / "flashdreams-core/src/flashdreams/plugins/catalogue.json"


def slugs(project: Path) -> Iterator[str]:
    """The slugs that a plugin's project registers, both ways in."""
    groups = read_project(project).get("entry-points", {})
    yield from groups.get(RUNNER_GROUP, {})
    sys.path.insert(0, str(project.parent / "src"))
    for name, module in groups.get(PLUGIN_GROUP, {}).items():
        plugin = load_plugin(Origin(project.parent.name, plugin=name), module)
        if plugin.broken:
            sys.exit(plugin.broken[0].blame)
        yield from (entry.spec.slug for entry in plugin.runners)


def install_line(name: str) -> str:
    """The command that installs a plugin of this workspace, with those that it depends on."""
    folders: list[str] = []
    waiting = [name]
    while waiting:
        folder = f"flashdreams-plugins/{waiting.pop()}"
        if folder not in folders:
            folders.append(folder)
            needed = read_project(WORKSPACE / folder / "pyproject.toml")["dependencies"]
            waiting += [each for each in needed if (WORKSPACE / "flashdreams-plugins" / each).is_dir()]
    return "pip install " + " ".join(f"-e {folder}" for folder in sorted(folders))


def read_project(project: Path) -> dict[str, Any]:
    """The table ``[project]`` of a pyproject.toml."""
    table: dict[str, Any] = tomllib.loads(project.read_text(encoding="utf-8"))["project"]
    return table


def generate() -> str:
    """The catalogue as JSON text."""
    catalogue: dict[str, dict[str, str]] = {}
    for project in sorted(WORKSPACE.glob("flashdreams-plugins/*/pyproject.toml")):
        name = read_project(project)["name"]
        catalogue |= {slug: {"distribution": name, "install": install_line(name)} for slug in slugs(project)}
    return json.dumps(catalogue, indent=2, sort_keys=True) + "\n"


def main() -> int:
    """Write the catalogue, or check it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--check", action="store_true", help="write nothing; exit with 1 if out of date")
    text = generate()
    if not parser.parse_args().check:
        CATALOGUE.write_text(text, encoding="utf-8")
    elif CATALOGUE.read_text(encoding="utf-8") != text:
        print(f"{CATALOGUE} is out of date: run python {sys.argv[0]}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
