"""What the pages print can be run. Python blocks always; shell lines in the slow tests."""

import re
import shlex
from pathlib import Path

import pytest

from flashdreams.cli.main import main

ROOT = Path(__file__).parents[1]
PAGES = ["README.md", "docs/quickstart.md", "docs/concepts.md"]
SETS_UP_AN_ENVIRONMENT = ("python3 -m venv", ". .venv/bin/activate", "uv sync")
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def blocks(page, language):
    return [code for found, code in BLOCK.findall((ROOT / page).read_text()) if found == language]


def shell_lines(page):
    lines = [line for code in blocks(page, "sh") for line in code.splitlines() if line.strip()]
    return [line for line in lines if not line.startswith(SETS_UP_AN_ENVIRONMENT)]


@pytest.mark.parametrize("page", PAGES)
def test_python_blocks_run_one_after_the_other(page):
    namespace = {}
    for code in blocks(page, "python"):
        exec(compile(code, page, "exec"), namespace)


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES)
def test_shell_lines_run_one_after_the_other(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    if page == "docs/quickstart.md":
        assert main(["run", "pocket-racer", "--total-blocks", "5"]) == 0  # what the demo makes
    for line in shell_lines(page):
        command, *arguments = shlex.split(line, comments=True)
        assert command.removeprefix(".venv/bin/") == "flashdreams", line
        try:
            code = main(arguments)
        except SystemExit as exit:
            code = exit.code
        assert code in (0, None), line


def test_every_relative_link_leads_somewhere():
    for page in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *ROOT.glob("docs/**/*.md")]:
        for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.relative_to(ROOT)} links to {target}"


def test_the_readme_names_the_command_that_ci_runs():
    command = (ROOT / ".ci/run").read_text().splitlines()[-1]
    assert command in blocks("README.md", "sh")[2]
