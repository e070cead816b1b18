"""``flashdreams show SLUG``: the config that a run would have."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from flashdreams.cli.by_name import namer
from flashdreams.cli.console import columns, help_page
from flashdreams.cli.flags import flags_help, parse_flags
from flashdreams.cli.options import HELP, Option, take_options
from flashdreams.cli.request import CONFIG, USE, Request, open_registry, read_request, runnable
from flashdreams.errors import UsageError, did_you_mean
from flashdreams.infra.config.fields import is_config
from flashdreams.infra.config.file import differences, dump, resolved
from flashdreams.infra.config.types import short
from flashdreams.infra.runner.config import RunnerConfig
from flashdreams.plugins.registry import Registry

SUMMARY = "Show the config that a slug has, with the flags of the line applied."

_COMMAND = "flashdreams show"
_FORMATS = ("tree", "yaml", "json")
_FORMAT = Option(
    "--format", "tree to read; yaml or json to keep, and to run with --config.", "tree|yaml|json"
)
_DIFF = Option("--diff", "Only what differs from the slug.")
_OPTIONS = (CONFIG, USE, _FORMAT, _DIFF)
_MARKERS = ("_use", "_class")


def main(argv: Sequence[str]) -> int:
    """Print what the line asks for.

    Raises:
        FlashDreamsError: Something that the user can put right.
    """
    taken, rest = take_options(argv, [*_OPTIONS, HELP])
    registry = open_registry()
    asks_help = HELP.name in taken
    if asks_help and not rest and CONFIG.name not in taken:
        print(overview(runnable(registry)))
        return 0
    form = _form(taken.get(_FORMAT.name, ["tree"])[-1])
    request = read_request(taken, rest, _COMMAND, registry)
    prog = f"{_COMMAND} {request.slug}"
    if asks_help:
        print(flags_help(request.draft, prog, _OPTIONS))
        return 0
    config = parse_flags(request.draft, request.flags, prog, _OPTIONS)
    print(_text(config, request, form, _DIFF.name in taken, registry).rstrip("\n"))
    return 0


def overview(slugs: Iterable[tuple[str, str]]) -> str:
    """The help without a slug, with the ``slugs`` that there are: slug and summary each."""
    options = [(option.invocation, option.help) for option in (*_OPTIONS, HELP)]
    flags = [("--FIELD VALUE", f"Any field of the config. See them all with: {_COMMAND} SLUG --help")]
    sections = [("slugs", slugs), ("options", options), ("flags", flags)]
    return help_page(f"{_COMMAND} SLUG [options] [flags]", SUMMARY, sections)


def _form(name: str) -> str:
    if name not in _FORMATS:
        raise UsageError(
            f"--format is {name!r}.",
            did_you_mean(name, _FORMATS),
            f"Write {_FORMAT.invocation}.",
        )
    return name


def _text(config: RunnerConfig, request: Request, form: str, diff: bool, registry: Registry) -> str:
    if form == "tree" and not diff:
        return str(config)
    tree = differences(config, request.base, namer(registry)) if diff else resolved(config)
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
