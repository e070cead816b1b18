"""pip in the environment of this process: what it would change, then doing it."""

from __future__ import annotations

import importlib.util
import json
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flashdreams.errors import PluginInstallError
from flashdreams.plugins.resolution import Package

_PIP = (sys.executable, "-P", "-m", "pip", "--disable-pip-version-check", "--no-input")
"""-P: a folder named pip where the user stands is not pip."""
_STDERR = 2


@dataclass(frozen=True)
class Change:
    """A package that pip would install, in place of another version where one is installed."""

    package: Package
    is_asked_for: bool
    """Whether the line names it; the others come as requirements."""


def resolve(arguments: Sequence[str]) -> list[Change]:
    """What ``pip install`` with these arguments would install. Changes nothing.

    Raises:
        PluginInstallError: There is no pip, or it finds no versions that fit together.
    """
    _require_pip(arguments)
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        asked = ("install", "--quiet", "--dry-run", "--report", str(report), *arguments)
        done = subprocess.run([*_PIP, *asked], capture_output=True, text=True)
        if done.returncode != 0:
            print(done.stdout + done.stderr, end="", file=sys.stderr)
            raise _refused_by_pip(done.stderr, arguments)
        document = json.loads(report.read_text(encoding="utf-8"))
    return [_change(item) for item in document["install"]]


def install(arguments: Sequence[str], changes: Sequence[Change]) -> None:
    """``pip install``, held to the versions that were resolved. What pip prints goes to stderr.

    Raises:
        PluginInstallError: pip fails.
    """
    with tempfile.TemporaryDirectory() as folder:
        pins = Path(folder) / "resolved.txt"
        lines = (f"{change.package.name}=={change.package.version}\n" for change in changes)
        pins.write_text("".join(lines), encoding="utf-8")
        _run("install", "--constraint", str(pins), *arguments)


def uninstall(names: Sequence[str]) -> None:
    """``pip uninstall``, without a question. What pip prints goes to stderr.

    Raises:
        PluginInstallError: There is no pip, or it fails.
    """
    _require_pip(names)
    _run("uninstall", "--yes", *names)


def _run(*arguments: str) -> None:
    done = subprocess.run([*_PIP, *arguments], stdout=_STDERR)
    if done.returncode != 0:
        raise PluginInstallError(
            f"pip {arguments[0]} failed with exit code {done.returncode}.",
            "It says why above.",
            f"See what is installed now with: {shlex.join([sys.executable, '-m', 'pip', 'list'])}",
        )


def _change(item: dict[str, Any]) -> Change:
    told = item["metadata"]
    package = Package(told["name"], told["version"], tuple(told.get("requires_dist", ())))
    return Change(package, bool(item.get("requested")))


def _require_pip(arguments: Sequence[str]) -> None:
    if importlib.util.find_spec("pip") is None:
        python, words = shlex.quote(sys.executable), shlex.join(arguments)
        raise PluginInstallError(
            f"There is no pip in the environment of {sys.executable}.",
            "`flashdreams plugins install` and `uninstall` are pip in that environment.",
            f"Put it there with: {python} -m ensurepip; or use uv: uv pip install --python {python} {words}",
        )


def _refused_by_pip(printed: str, arguments: Sequence[str]) -> PluginInstallError:
    mark = "error: "  # in capitals where it resolves, in small letters where it builds
    errors = [line[len(mark) :] for line in printed.splitlines() if line.lower().startswith(mark)]
    return PluginInstallError(
        f"pip cannot resolve {shlex.join(arguments)}: {errors[0] if errors else 'it says why above'}",
        "pip must find or build a version of each package that fits all the others. Nothing was changed.",
        "Read what it says above; then correct the requirement, or say where it is: --find-links, or a path.",
    )
