"""From the text ``"package.module:NAME"`` to what it names.

A config is a deep copy that is the caller's to change.
"""

from __future__ import annotations

import copy
import importlib
from collections.abc import Callable
from typing import Any, TypeVar

from flashdreams.infra.config import InstantiateConfig
from flashdreams.infra.runner.config import RunnerConfig
from flashdreams.plugins.blame import BadPluginError
from flashdreams.plugins.specs import CommandSpec, ComponentSpec, RunnerSpec

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


def load_runner(spec: RunnerSpec) -> RunnerConfig:
    """The config of a slug.

    Raises:
        BadPluginError: It is no RunnerConfig, or one of another name.
        Exception: Whatever importing or calling it raises.
    """
    config = _load_config(spec.target, RunnerConfig)
    if config.runner_name != spec.slug:
        raise BadPluginError(f"the runner_name of {spec.target} is {config.runner_name!r}, not the slug")
    return config


def load_component(spec: ComponentSpec) -> InstantiateConfig:
    """The config of a component.

    Raises:
        BadPluginError: It is no config.
        Exception: Whatever importing or calling it raises.
    """
    return _load_config(spec.target, InstantiateConfig)


def load_command(spec: CommandSpec) -> Callable[[list[str]], int]:
    """The ``main(argv) -> int`` of a command.

    Raises:
        BadPluginError: It is no function.
        Exception: Whatever importing it raises.
    """
    main: Callable[[list[str]], int] = load_target(spec.target)
    if not callable(main):
        raise BadPluginError(f"{spec.target} is no function")
    return main


def _load_config(target: str, kind: type[C]) -> C:
    """A copy of the config that ``target`` is, or that it returns when called without arguments."""
    found = load_target(target)
    given = found() if callable(found) and not isinstance(found, InstantiateConfig) else found
    if not isinstance(given, kind):
        verb = "is" if given is found else "returned"
        raise BadPluginError(f"{target} {verb} {_a(given)}, not a {kind.__name__}")
    return copy.deepcopy(given)


def _a(value: Any) -> str:
    name = type(value).__name__
    return "None" if value is None else f"an {name}" if name[0] in "aeiouAEIOU" else f"a {name}"
