"""From the text ``"package.module:NAME"`` to the config that it names."""

from __future__ import annotations

import importlib
from typing import Any, TypeVar

from flashdreams.infra.config import InstantiateConfig
from flashdreams.plugins.blame import BadPluginError

C = TypeVar("C", bound=InstantiateConfig)


def load_target(target: str) -> Any:
    """Import what ``target`` names: an object, or a module where no ``:NAME`` follows.

    Raises:
        Exception: Whatever importing it raises.
    """
    module_name, _, path = target.partition(":")
    found: Any = importlib.import_module(module_name)
    for name in filter(None, path.split(".")):
        found = getattr(found, name)
    return found


def load_config(target: str, kind: type[C]) -> C:
    """The config that ``target`` is, or that it returns when called without arguments.

    Raises:
        BadPluginError: It is something else than a ``kind``.
        Exception: Whatever importing or calling it raises.
    """
    found = load_target(target)
    given = found() if callable(found) and not isinstance(found, InstantiateConfig) else found
    if not isinstance(given, kind):
        verb = "is" if given is found else "returned"
        raise BadPluginError(f"{target} {verb} {_a(given)}, not a {kind.__name__}")
    return given


def _a(value: Any) -> str:
    name = type(value).__name__
    return "None" if value is None else f"an {name}" if name[0] in "aeiouAEIOU" else f"a {name}"
