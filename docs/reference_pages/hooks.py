"""``reference/hooks.md``: every hook and every spec, from :mod:`flashdreams.plugins`."""

from __future__ import annotations

import dataclasses
import inspect
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from flashdreams.infra.config.docs import field_doc
from flashdreams.plugins import hookspecs, specs
from reference_pages.markdown import UndocumentedError, anchor, cell, documented, page, table

INTRODUCTION = """\
What a plugin can implement. [Plugins](../plugins/hooks.md) shows how one is registered, and [Watch
rollouts](../howto/observe.md) and [Add a command](../howto/command.md) how hooks are used. Each hook is
optional, and an implementation takes the arguments that it wants, by name. The specification itself is
`flashdreams/plugins/hookspecs.py`.
"""

PARTS = ("Called", "May not", "Returns")
"""What the documentation of each hook says, in this order."""

Hook = Callable[..., Any]


def hooks() -> dict[str, Hook]:
    """Every hook by its name, in the order of the specification."""
    return {name: hook for name, hook in vars(hookspecs).items() if name.startswith("flashdreams_")}


def hooks_page(found: Mapping[str, Hook] | None = None) -> str:
    """``reference/hooks.md``.

    Args:
        found: The hooks; all that there are by default.

    Raises:
        UndocumentedError: A hook does not say when it is called, what it may not do, or what it returns.
    """
    every = hooks() if found is None else found
    overview = table(("hook", "what"), [(_link(*item), cell(_summary(*item))) for item in every.items()])
    sections = [_section(name, hook) for name, hook in every.items()]
    return page("Hooks", INTRODUCTION, overview, *sections, SPECS, *_specs())


def signature(name: str, hook: Hook) -> str:
    """The hook with the names of its arguments."""
    return f"{name}({', '.join(inspect.signature(hook).parameters)})"


def _link(name: str, hook: Hook) -> str:
    return f"[`{name}`](#{anchor(signature(name, hook))})"


def _summary(name: str, hook: Hook) -> str:
    return documented(f"The hook {name}", hook.__doc__).partition("\n\n")[0]


def _section(name: str, hook: Hook) -> str:
    rules = documented(name, hook.__doc__).partition("\n\n")[2]
    parts = re.split(rf"^(?=(?:{'|'.join(PARTS)}):)", rules, flags=re.MULTILINE)[1:]
    if tuple(part.partition(":")[0] for part in parts) != PARTS:
        raise UndocumentedError(f"The hook {name} does not say, in this order: {', '.join(PARTS)}.")
    items = "\n".join(f"- **{part.partition(':')[0]}**:{part.partition(':')[2].rstrip()}" for part in parts)
    return f"## {signature(name, hook)}\n\n{_summary(name, hook)}\n\n{items}\n"


SPECS = """\
## Specs

What the first three hooks return. A spec names its target as text, and nothing is imported until it is
asked for. Names have no spaces and do not begin with a dash; a summary is one line.
"""


def _specs() -> Iterator[str]:
    for spec in (specs.RunnerSpec, specs.ComponentSpec, specs.CommandSpec):
        yield f"### {spec.__name__}\n\n{documented(spec.__name__, spec.__doc__)}\n"
        yield table(("field", "means"), [_field(spec, field.name) for field in dataclasses.fields(spec)])


def _field(spec: type, name: str) -> tuple[str, str]:
    return f"`{name}`", cell(documented(f"{spec.__name__}.{name}", field_doc(spec, name)))
