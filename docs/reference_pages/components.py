"""``reference/components.md``: what can be chosen by name, of core and of the plugins beside it."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby

from flashdreams.plugins.entries import Entry
from flashdreams.plugins.registry import installed_registry
from flashdreams.plugins.specs import ComponentSpec
from flashdreams.plugins.targets import load_component
from reference_pages.config import config_classes, packages
from reference_pages.markdown import anchor, cell, documented, page, table

INTRODUCTION = """\
A component takes its place in a pipeline by name: `--use scheduler=unipc` on the command line, `_use:
unipc` in a config file. Its kind is the field that it fits. `flashdreams components` lists those of an
installation, with what other plugins add; these come with the framework and the plugins in this repository.
"""


def components() -> list[Entry[ComponentSpec]]:
    """The components of the distributions in this repository."""
    ours = {"flashdreams-core", *(name.replace("_", "-") for name in packages())}
    return [entry for entry in installed_registry().components() if entry.origin.distribution in ours]


def components_page() -> str:
    """``reference/components.md``.

    Raises:
        UndocumentedError: A component has no summary.
    """
    kinds = groupby(components(), key=lambda entry: entry.spec.kind)
    return page("Components", INTRODUCTION, *(_kind(kind, list(entries)) for kind, entries in kinds))


def _kind(kind: str, entries: list[Entry[ComponentSpec]]) -> str:
    rows = [tuple(_cells(entry)) for entry in entries]
    return f"## {kind}\n\n" + table(("name", "what", "config", "from"), rows)


def _cells(entry: Entry[ComponentSpec]) -> Iterator[str]:
    spec = entry.spec
    config = type(load_component(spec))
    documents = any(config in config_classes(package) for package in packages())
    name = f"`{config.__name__}`"
    yield f"`{spec.name}`"
    yield cell(documented(spec.label, spec.summary))
    yield f"[{name}](config.md#{anchor(config.__name__)})" if documents else name
    yield entry.origin.distribution
