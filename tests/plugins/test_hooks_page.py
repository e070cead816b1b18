"""docs/plugins/hooks.md says what the code says."""

import dataclasses
import inspect
import re
from pathlib import Path

import pytest

from flashdreams.plugins import hookspecs, specs

PAGE = Path(__file__).parents[2].joinpath("docs/plugins/hooks.md").read_text(encoding="utf-8")
HOOKS = {name: hook for name, hook in vars(hookspecs).items() if name.startswith("flashdreams_")}


def flat(text):
    return " ".join(text.replace("``", "`").split())


def test_the_page_has_every_hook_and_no_other():
    signatures = [f"{name}({', '.join(inspect.signature(hook).parameters)})" for name, hook in HOOKS.items()]
    assert re.findall(r"^### (.*)$", PAGE, re.MULTILINE) == signatures


@pytest.mark.parametrize("name", HOOKS)
def test_each_hook_reads_as_in_the_code(name):
    summary, _, rules = inspect.getdoc(HOOKS[name]).partition("\n\n")
    section = flat(PAGE.partition(f"### {name}(")[2].partition("\n### ")[0])
    assert flat(summary) in section
    parts = re.split(r"^(?=Called:|May not:|Returns:)", rules, flags=re.MULTILINE)
    assert [part.partition(":")[0] for part in parts[1:]] == ["Called", "May not", "Returns"]
    for part in parts[1:]:
        assert f"- {flat(part)}" in section


@pytest.mark.parametrize("spec", [specs.RunnerSpec, specs.ComponentSpec, specs.CommandSpec])
def test_each_spec_is_listed_with_its_fields(spec):
    fields = ", ".join(f"`{field.name}`" for field in dataclasses.fields(spec))
    assert f"| `{spec.__name__}` | {fields} |" in PAGE


def test_the_python_on_the_page_runs(here):
    plugin, registry = re.findall(r"^```python\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
    here.module("page_plugin", plugin)
    loaded = here.registry(plugins={"page": "page_plugin"})
    assert loaded.broken() == []
    assert [entry.spec.label for entry in (*loaded.runners(), *loaded.components(), *loaded.commands())] == [
        "slug my-slug",
        "component decoder my-decoder",
        "command serve",
    ]
    exec(compile(registry, "hooks.md", "exec"), {})
