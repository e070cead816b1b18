import ast
import subprocess
import sys
import tomllib
from importlib import resources
from importlib.util import find_spec

import pytest

from flashdreams.plugins.api import API_VERSION
from flashdreams.scaffold.kinds import KINDS
from flashdreams.scaffold.names import LONGEST, Names
from flashdreams.scaffold.project import SUFFIX, project_files, write_project

NAMES = ("a", "my-model", "a" * LONGEST, "a-" * (LONGEST // 2 - 1) + "aa")
"""The shortest, a usual and the longest names: lines must fit with each."""

with_ruff = pytest.mark.skipif(find_spec("ruff") is None, reason="ruff is not installed")


def tool(*arguments, cwd):
    done = subprocess.run([sys.executable, "-m", *arguments], cwd=cwd, capture_output=True, text=True)
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize("kind", KINDS)
def test_a_project_has_what_a_project_needs(kind):
    files = project_files(kind, Names("my-model"))
    assert {"pyproject.toml", "README.md", "LICENSE", ".gitignore", ".github/workflows/ci.yml"} <= set(files)
    assert {"src/flashdreams_my_model/py.typed", "tests/test_my_model.py"} <= set(files)
    assert all(text.endswith("\n") for path, text in files.items() if not path.endswith("py.typed"))
    project = tomllib.loads(files["pyproject.toml"])["project"]
    assert project["entry-points"]["flashdreams.api"] == {API_VERSION: "flashdreams_my_model"}
    assert any("change this" in text for path, text in files.items() if path.startswith("src/"))


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_is_left_open(kind):
    for path, text in project_files(kind, Names("my-model")).items():
        left = text.replace("$FLASHDREAMS", "") if path.endswith("ci.yml") else text
        assert "$" not in left, path
        if path.endswith(".py"):
            assert ast.get_docstring(ast.parse(text)), path


def test_every_template_is_one_of_a_kind():
    folders = {
        child.name for child in resources.files("flashdreams.scaffold").joinpath("templates").iterdir()
    }
    assert folders == {*KINDS, "common"}
    for folder in folders:
        for path in resources.files("flashdreams.scaffold").joinpath("templates", folder).rglob("*"):
            assert path.is_dir() or path.name.endswith(SUFFIX), path


@with_ruff
@pytest.mark.parametrize("name", NAMES)
def test_the_code_is_formatted_and_without_a_warning(tmp_path, name):
    for kind in KINDS:
        write_project(tmp_path / kind / "project", kind, Names(name))
    check = ("ruff", "check", "--no-cache", "-q", ".")
    assert tool(*check, cwd=tmp_path) == (0, "")
    assert tool("ruff", "format", "--no-cache", "-q", "--diff", ".", cwd=tmp_path) == (0, "")


@pytest.mark.slow
def test_the_code_has_the_types_that_it_says(tmp_path):
    for kind in KINDS:
        write_project(tmp_path / kind, kind, Names("my-model"))
        code, told = tool("mypy", "--cache-dir", str(tmp_path / "cache"), "src", cwd=tmp_path / kind)
        assert code == 0, told


@pytest.mark.parametrize(
    "kind", [pytest.param(k, marks=pytest.mark.slow if k == "configs-only" else ()) for k in KINDS]
)
def test_a_project_passes_its_own_tests(generated, kind):
    done = generated(kind).python("-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "passed" in done.stdout.splitlines()[-1]


@pytest.mark.parametrize("kind", KINDS)
def test_its_slug_is_listed_with_its_summary(generated, kind):
    project = generated(kind)
    done = project.python("-m", "flashdreams", "list")
    line = next(line for line in done.stdout.splitlines() if line.startswith("my-model"))
    assert line.split()[0] == KINDS[kind].slug(project.names)
    assert "flashdreams-my-model 0.1.0" in line
    assert not done.stderr
