"""``flashdreams plugins check NAME``: the conformance kit, run on an installed plugin from outside."""

from __future__ import annotations

import io
import json
import sys
import textwrap
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from flashdreams.cli.console import counted, help_page, uses_colour
from flashdreams.cli.options import (
    HELP,
    JSON,
    Option,
    looks_like_flag,
    option_rows,
    stdout_kept,
    take_options,
)
from flashdreams.errors import UnknownSlugError, UsageError, did_you_mean
from flashdreams.io.fetching import offline

if TYPE_CHECKING:
    from flashdreams.testing.contract import CheckResult, Contract
    from flashdreams.testing.installed_plugin import InstalledPlugin

SUMMARY = "Hold an installed plugin to the conformance kit; nothing is downloaded."

SLUG = Option("--slug", "Only the pipeline of this slug; may be repeated.", "SLUG")
_OPTIONS = (SLUG, JSON)
_WORDS = {"passed": "ok", "skipped": "skip", "failed": "FAILED"}
_COLOURS = {"passed": "\033[32m", "skipped": "\033[33m", "failed": "\033[1;31m"}


@dataclass(frozen=True)
class Line:
    """One check that has ended."""

    result: CheckResult
    note: str
    """What the check itself said, such as a time that it measured."""


def main(argv: Sequence[str]) -> int:
    """Run the checks of a plugin and print each as it ends; 1 where one fails, else 0.

    Raises:
        UsageError: No plugin is named, or more than one.
        PluginError: No such plugin is installed, or it has no such slug, or somebody else claims that too.
    """
    options, words = take_options(argv, (*_OPTIONS, HELP))
    if HELP.name in options:
        usage = "flashdreams plugins check NAME [options]"
        print(help_page(usage, f"{SUMMARY} NAME is a distribution or a plugin.", _sections()))
        return 0
    from flashdreams.testing.installed_plugin import find_plugin

    plugin, slugs = find_plugin(_only_name(words)), options.get(SLUG.name, [])
    with stdout_kept():
        _check_slugs(plugin, slugs)
    began, as_json = time.perf_counter(), JSON.name in options
    if not as_json:
        print(plugin.origin)
    lines = list(_told(_run(plugin.name, slugs), quiet=as_json))
    failed = any(line.result.outcome == "failed" for line in lines)
    took = time.perf_counter() - began
    print(_document(plugin, lines, took) if as_json else f"\n{_total(lines)} in {took:.1f} s")
    return 1 if failed else 0


def _run(distribution: str, slugs: Sequence[str]) -> Iterator[tuple[type[Contract], Line]]:
    """Each check once it has ended; what it prints is its note, and stdout stays ours."""
    from flashdreams.testing.contract import run_checks
    from flashdreams.testing.installed_contracts import contracts_of

    with offline(), stdout_kept():
        contracts = contracts_of(distribution, slugs)
    for contract in contracts:
        checks, ended = run_checks(contract), False
        while not ended:
            with offline(), redirect_stdout(io.StringIO()) as said:
                result = next(checks, None)
            ended = result is None
            if result is not None:
                yield contract, Line(result, " ".join(said.getvalue().split()))


def _told(checks: Iterator[tuple[type[Contract], Line]], quiet: bool) -> Iterator[Line]:
    """The same lines, each printed as soon as it is there."""
    title = ""
    for contract, line in checks:
        if not quiet:
            if contract.__name__ != title:
                title = contract.__name__
                print(f"\n{title}")
            print(_text(line), flush=True)
        yield line


def _text(line: Line) -> str:
    result = line.result
    word = _WORDS[result.outcome].ljust(6)
    if uses_colour(sys.stdout):
        word = f"{_COLOURS[result.outcome]}{word}\033[0m"
    told = f"  {word}  {result.promise}"
    if result.outcome == "passed":
        return f"{told}, {line.note}" if line.note else told
    if result.outcome == "skipped":
        return f"{told}: {' '.join(result.message.split())}"
    return f"{told}\n{textwrap.indent(result.message, ' ' * 10)}"


def _total(lines: Sequence[Line]) -> str:
    counts = Counter[str](line.result.outcome for line in lines)
    return (
        ", ".join(f"{counts[outcome]} {outcome}" for outcome in _WORDS if counts[outcome])
        or "Nothing to check"
    )


def _document(plugin: InstalledPlugin, lines: Sequence[Line], took: float) -> str:
    checks: list[dict[str, Any]] = [
        {
            "about": line.result.contract,
            "check": line.result.check,
            "outcome": line.result.outcome,
            "message": line.result.message or line.note,
            "seconds": round(line.result.seconds, 3),
        }
        for line in lines
    ]
    head = {"distribution": plugin.name, "version": plugin.metadata.version, "seconds": round(took, 3)}
    return json.dumps({**head, "checks": checks}, indent=2)


def _only_name(words: Sequence[str]) -> str:
    flags = [word for word in words if looks_like_flag(word)]
    if flags:
        raise UsageError(
            f"`flashdreams plugins check` does not take {flags[0]!r}.",
            did_you_mean(flags[0], [option.name for option in (*_OPTIONS, HELP)]),
            "See `flashdreams plugins check --help`.",
        )
    if len(words) != 1:
        raise UsageError(
            f"{counted(len(words), 'plugin')} {'is' if len(words) == 1 else 'are'} named.",
            "One plugin is checked at a time.",
            "Write `flashdreams plugins check NAME`; `flashdreams plugins` shows the names.",
        )
    return words[0]


def _check_slugs(plugin: InstalledPlugin, wanted: Sequence[str]) -> None:
    known = [entry.spec.slug for entry in plugin.runners]
    for slug in wanted:
        if (slug,) in {clash.spec.key for clash in plugin.registry.clashes()}:
            plugin.registry.runner_config(slug)  # raises, and says who claims it
        if slug not in known:
            raise UnknownSlugError(
                f"{plugin.name} has no slug {slug!r}.",
                did_you_mean(slug, known),
                "See every slug with: flashdreams list",
            )


def _sections() -> list[tuple[str, list[tuple[str, str]]]]:
    return [("options", option_rows(_OPTIONS))]
