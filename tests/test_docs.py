"""What the pages print can be run. Python blocks always; shell lines in the slow tests."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from flashdreams.cli.main import main

ROOT = Path(__file__).parents[1]
PAGES = [
    "README.md",
    "docs/quickstart.md",
    "docs/concepts.md",
    "docs/weights.md",
    "docs/plan.md",
    "docs/engine.md",
    "docs/plugins/model.md",
    "docs/models/wan.md",
]
SETS_UP_AN_ENVIRONMENT = ("python3 -m venv", ". .venv/bin/activate", "uv sync")
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def blocks(page, language):
    return [code for found, code in BLOCK.findall((ROOT / page).read_text()) if found == language]


def shell_lines(page):
    lines = [
        line for code in blocks(page, "sh") for line in code.replace("\\\n", " ").splitlines() if line.strip()
    ]
    return [line for line in lines if not line.startswith(SETS_UP_AN_ENVIRONMENT)]


@pytest.mark.parametrize("page", PAGES)
def test_python_blocks_run_one_after_the_other(page):
    namespace = {}
    for code in blocks(page, "python"):
        exec(compile(code, page, "exec"), namespace)


def test_the_plugin_of_the_page_runs_as_a_slug(tmp_path):
    page = (ROOT / "docs/plugins/model.md").read_text().partition("## Try it")[0]
    module = "\n".join(code for found, code in BLOCK.findall(page) if found == "python")
    tmp_path.joinpath("flashdreams_drift.py").write_text(module)
    variables = {"PYTHONPATH": str(tmp_path), "FLASHDREAMS_RUNNER_CONFIGS": "drift=flashdreams_drift:DRIFT"}
    line = "run drift --steer 0 0.5 --pipeline.diffusion-model.scheduler.steps 2 --output frames --scale 2"
    done = subprocess.run(
        [sys.executable, "-m", "flashdreams", *line.split(), "--total-blocks", "3"],
        env=os.environ | variables,
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert len(list(tmp_path.glob("frames/*.png"))) == 6


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
