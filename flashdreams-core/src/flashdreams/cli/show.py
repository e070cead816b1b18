"""``flashdreams show SLUG``: the config that a run would have."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from flashdreams.cli.console import columns
from flashdreams.cli.options import Option
from flashdreams.cli.request import Request, SlugCommand
from flashdreams.errors import UsageError, did_you_mean
from flashdreams.infra.config.fields import is_config
from flashdreams.infra.config.file import differences, dump, resolved
from flashdreams.infra.config.types import short
from flashdreams.plugins.naming import namer
from flashdreams.plugins.registry import installed_registry

SUMMARY = "Show the config that a slug has, with the flags of the line applied."

_FORMATS = ("tree", "yaml", "json")
_FORMAT = Option(
    "--format", "tree to read; yaml or json to keep, and to run with --config.", "tree|yaml|json"
)
_DIFF = Option("--diff", "Only what differs from the slug.")
COMMAND = SlugCommand("show", SUMMARY, (_FORMAT, _DIFF))
_MARKERS = ("_use", "_class")


def main(argv: Sequence[str]) -> int:
    """Print what the line asks for.

    Raises:
        FlashDreamsError: Something that the user can put right.
    """
    request = COMMAND.read(argv)
    if request is None:
        return 0
    form = _form(request.options.get(_FORMAT.name, ["tree"])[-1])
    print(_text(request, form, _DIFF.name in request.options).rstrip("\n"))
    return 0


def _form(name: str) -> str:
    if name not in _FORMATS:
        raise UsageError(
            f"--format is {name!r}.",
            did_you_mean(name, _FORMATS),
            f"Write {_FORMAT.invocation}.",
        )
    return name


def _text(request: Request, form: str, diff: bool) -> str:
    if form == "tree" and not diff:
        return str(request.config)
    name = namer(installed_registry())
    tree = differences(request.config, request.base, name) if diff else resolved(request.config)
    if form == "tree":
        return columns(_changes(tree, request.base)) or f"Nothing differs from {request.slug}."
    return dump({"slug": request.slug, "config": tree}, "json" if form == "json" else "yaml")


def _changes(tree: dict[str, Any], base: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """A line for each leaf of the tree of differences: where, what it was, what it is."""
    for name, new in tree.items():
        where, old = f"{path}{name}", getattr(base, name, None)
        marker = next((new[key] for key in _MARKERS if key in new), None) if isinstance(new, dict) else None
        if marker is not None:
            yield where, f"{_name(old)} -> {marker}"
            inner = {key: value for key, value in new.items() if key not in _MARKERS}
            yield from _changes(inner, None, f"{where}.")
        elif isinstance(new, dict) and is_config(old):
            yield from _changes(new, old, f"{where}.")
        else:
            yield where, short(new) if base is None else f"{_name(old)} -> {short(new)}"


def _name(value: Any) -> str:
    return type(value).__qualname__ if is_config(value) else short(value)
