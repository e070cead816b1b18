"""``reference/config.md``: every field of every config, of core and of the plugins beside it."""

from __future__ import annotations

import dataclasses
import pkgutil
from collections.abc import Iterable, Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

from flashdreams.infra.config.fields import FieldInfo, config_fields
from flashdreams.infra.config.types import describe
from reference_pages.markdown import anchor, cell, default, documented, own_doc, page, table

ROOT = Path(__file__).parents[2]

INTRODUCTION = """\
Every field of every config, as [Configs](../config.md) explains them: of the framework, and of the plugins
in this repository. On the command line a field is a flag, nested as the config is: `window` of a
transformer is `--pipeline.diffusion-model.transformer.window`; `flashdreams run SLUG --help` shows those of
one slug, with what the slug sets them to. Each table lists what a class adds to its parent, or sets
otherwise.
"""

Config = type[Any]


def packages() -> list[str]:
    """The packages of this repository, core first."""
    return [
        "flashdreams",
        *sorted(path.name for path in ROOT.glob("flashdreams-plugins/*/src/flashdreams_*")),
    ]


def config_classes(package: str) -> list[Config]:
    """The config classes that the modules named ``config`` of a package define, parents before children."""
    root = import_module(package)
    modules = [module.name for module in pkgutil.walk_packages(root.__path__, f"{package}.")]
    found = [cls for name in modules if _holds_configs(name) for cls in _defined(import_module(name))]
    return sorted(found, key=lambda cls: len(cls.__mro__))


def _holds_configs(module: str) -> bool:
    return module.endswith(".config") and ".train." not in module


def _defined(module: ModuleType) -> list[Config]:
    classes = [each for each in vars(module).values() if isinstance(each, type)]
    return [each for each in classes if dataclasses.is_dataclass(each) and each.__module__ == module.__name__]


def config_page(classes: Iterable[tuple[str, list[Config]]] | None = None) -> str:
    """``reference/config.md``.

    Args:
        classes: Config classes by package; all that there are by default.

    Raises:
        UndocumentedError: A class or field has no docstring.
    """
    found = [(name, config_classes(name)) for name in packages()] if classes is None else list(classes)
    every = {cls for _, each in found for cls in each}
    blocks = [block for name, each in found if each for block in _package(name, each, every)]
    return page("Config fields", INTRODUCTION, *blocks)


def _package(name: str, classes: list[Config], every: set[Config]) -> Iterator[str]:
    yield f"## {name.replace('_', '-') if name != 'flashdreams' else 'flashdreams-core'}\n"
    yield table(("config", "is"), [(_link(cls), cell(_summary(cls))) for cls in classes])
    for cls in classes:
        yield _section(cls, every)


def _link(cls: Config) -> str:
    return f"[`{cls.__name__}`](#{anchor(cls.__name__)})"


def _summary(cls: Config) -> str:
    return documented(f"The config {cls.__name__}", own_doc(cls)).partition("\n\n")[0]


def _section(cls: Config, every: set[Config]) -> str:
    parents = [_link(base) for base in cls.__bases__ if base in every]
    where = f"`{cls.__module__}`" + (f", from {' and '.join(parents)}" if parents else "")
    own = [info for info in config_fields(cls) if info.name in vars(cls).get("__annotations__", {})]
    rows = table(("field", "takes", "default", "meaning"), map(_row, own)) if own else "Adds no field.\n"
    return f"### {cls.__name__}\n\n{documented(cls.__name__, own_doc(cls))}\n\n{where}\n\n{rows}"


def _row(info: FieldInfo) -> tuple[str, str, str, str]:
    doc = documented(f"{info.config_class.__name__}.{info.name}", info.doc)
    return f"`{info.name}`", cell(describe(info.type)), default(info.default), cell(doc)
