"""The plugin on docs/plugins/hooks.md loads; tests/test_docs.py runs the rest of the page."""

import re
from pathlib import Path

PAGE = Path(__file__).parents[2].joinpath("docs/plugins/hooks.md").read_text(encoding="utf-8")


def test_the_plugin_on_the_page_loads(here):
    plugin, _ = re.findall(r"^```python\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
    here.module("page_plugin", plugin)
    loaded = here.registry(plugins={"page": "page_plugin"})
    assert loaded.broken() == []
    assert [entry.spec.label for entry in (*loaded.runners(), *loaded.components(), *loaded.commands())] == [
        "slug my-slug",
        "component decoder my-decoder",
        "command serve",
    ]
