"""``flashdreams doctor``: what this machine has, and what can run on it."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from flashdreams.cli.console import columns
from flashdreams.cli.options import JSON, read_arguments, stdout_kept

SUMMARY = "Look at this machine: versions, devices, disk, and which slugs have what they need."


def main(argv: list[str]) -> int:
    """Show what this machine has. A part that cannot be found out says why; the others are shown."""
    arguments = read_arguments(argv, "doctor", SUMMARY, (JSON,))
    if arguments is None:
        return 0
    from flashdreams.cli.probes import PROBES

    with stdout_kept():
        findings = {title: _ask(probe) for title, probe in PROBES.items()}
    if JSON.name in arguments:
        print(json.dumps(findings, indent=2))
    else:
        print("\n\n".join(f"{title}\n{_text(found)}" for title, found in findings.items()))
    return 0


def _text(found: dict[str, Any]) -> str:
    return columns((name, _line(value)) for name, value in found.items()) or "  none"


def _line(value: Any) -> str:
    if not isinstance(value, dict):
        return str(value)
    return "nothing is missing" if value["runs"] else f"cannot run here: {'; '.join(value['reasons'])}"


def _ask(probe: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    # A half-broken machine is what this command is for: anything may fail, a library that aborts an
    # import with SystemExit included.
    try:
        return probe()
    except (Exception, SystemExit) as error:
        return {"unknown": " ".join(f"{type(error).__name__}: {error}".split())}
