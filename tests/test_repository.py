"""What holds of the repository as a whole."""

import ast
import re
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = [ROOT / "flashdreams-core", *sorted((ROOT / "flashdreams-plugins").iterdir())]


def constraints():
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    return dict(line.split("==") for line in lines if "==" in line)


def project(package):
    return tomllib.loads((package / "pyproject.toml").read_text())["project"]


def test_every_dependency_has_a_tested_version():
    tested = {name.lower().replace("_", "-") for name in constraints()}
    for package in PACKAGES:
        declared = project(package)
        extras = declared.get("optional-dependencies", {}).values()
        for requirement in [*declared["dependencies"], *(r for extra in extras for r in extra)]:
            name = re.match(r"[A-Za-z0-9_.-]+", requirement)[0].lower().replace("_", "-")
            assert name.startswith("flashdreams-") or name in tested, requirement


EXTRAS = {
    "flashdreams.client": "client",
    "flashdreams.core.kernels": "triton",
    "flashdreams.testing.kernel_processes": "triton",
    "flashdreams_pocket.train": "train",
}
"""Packages and modules that need an extra, and which."""
OURS = {path.name: [package.name] for package in PACKAGES for path in (package / "src").iterdir()}
"""Our own packages, by what they are imported as."""
TOOLS = {"pytest", "_typeshed"}
"""What whoever imports a test kit has, and what exists for type checkers alone."""


def imported(path):
    """The packages that the import statements of a module name, those within functions too."""
    nodes = [*ast.walk(ast.parse(path.read_text()))]
    names = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module for node in nodes if isinstance(node, ast.ImportFrom)}
    return {name.partition(".")[0] for name in names} - sys.stdlib_module_names - TOOLS


def normal(requirement):
    return re.match(r"[A-Za-z0-9_.-]+", requirement)[0].lower().replace("_", "-")


def undeclared(package):
    """Imports of a package for which its dependencies, and the extra for that part of it, do not ask."""
    declared, source = project(package), package / "src"
    distributions = {**packages_distributions(), **OURS}
    for path in source.rglob("*.py"):
        module = ".".join(path.relative_to(source).with_suffix("").parts)
        asked = list(declared["dependencies"])
        for part, extra in EXTRAS.items():
            if f"{module}.".startswith(f"{part}."):
                asked += declared["optional-dependencies"][extra]
        known = {declared["name"], *map(normal, asked)}
        for name in imported(path):
            if known.isdisjoint(map(normal, distributions.get(name, [name]))):
                yield module, name


@pytest.mark.parametrize("package", PACKAGES, ids=lambda package: package.name)
def test_a_package_declares_what_it_imports(package):
    assert sorted(undeclared(package)) == []


def test_uv_takes_the_tested_torch():
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["uv"]
    assert settings["constraint-dependencies"] == [f"torch=={constraints()['torch']}"]


def test_every_package_has_a_readme_and_a_licence():
    for package in PACKAGES:
        declared = project(package)
        assert declared["license"] == "Apache-2.0"
        assert len((package / declared["readme"]).read_text()) > 200


def test_python_modules_stay_readable():
    sources = [path for package in PACKAGES for path in (package / "src").rglob("*.py")]
    too_long = {
        str(path.relative_to(ROOT)): lines
        for path in sources
        if (lines := len(path.read_text().splitlines())) > 280
    }
    assert too_long == {}
