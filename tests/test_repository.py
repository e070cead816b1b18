"""What holds of the repository as a whole."""

import re
import tomllib
from pathlib import Path

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
