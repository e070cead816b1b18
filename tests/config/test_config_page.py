"""The page about configs runs, and prints what it says it prints."""

from __future__ import annotations

import re
import sys
import types
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "config.md"
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def test_every_block_of_the_page_runs_and_prints_what_follows_it(monkeypatch, capsys):
    module = types.ModuleType("my_package")
    monkeypatch.setitem(sys.modules, "my_package", module)
    printed, checked = "", 0
    for language, body in BLOCK.findall(PAGE.read_text(encoding="utf-8")):
        if language == "python":
            exec(compile(body, str(PAGE), "exec"), vars(module))
            printed = capsys.readouterr().out
        else:
            assert body.strip() == printed.strip()
            checked += 1
    assert checked >= 6
