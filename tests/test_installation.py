"""The wheels and archives that are built, and fresh environments into which they are installed."""

import re
import sys
import tarfile
import tomllib
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest

from flashdreams_pocket import shipped

ROOT = Path(__file__).parents[1]
CORE = ROOT / "flashdreams-core"
PLUGINS = {path.name: path for path in sorted((ROOT / "flashdreams-plugins").iterdir())}
PACKAGES = {CORE.name: CORE, **PLUGINS}
TEMPLATES = {
    path.relative_to(CORE / "src").as_posix()
    for path in (CORE / "src/flashdreams/scaffold/templates").rglob("*.tmpl")
}
SERVE = PLUGINS["flashdreams-serve"] / "src"
PAGES = {
    path.relative_to(SERVE).as_posix()
    for folder in ("page", "web/reference")
    for path in (SERVE / "flashdreams_serve" / folder).iterdir()
    if path.suffix in (".html", ".css", ".js", ".svg")
}
DATA = {
    "flashdreams-core": {"flashdreams/plugins/catalogue.json", *TEMPLATES},
    "flashdreams-pocket": {f"flashdreams_pocket/weights/{p.name}" for p in (shipped.WEIGHTS, shipped.STARTS)},
    "flashdreams-serve": PAGES,
}
"""Files of a wheel that are no modules, where there is more than the weights' lock file and py.typed."""
LARGEST = 8_000_000
"""Bytes of the wheel of flashdreams-pocket, its weights included."""
METADATA_FILES = {"METADATA", "WHEEL", "RECORD", "entry_points.txt", "licenses/LICENSE"}


def module_of(name):
    """Name of the package of a distribution."""
    return "flashdreams" if name == CORE.name else name.replace("-", "_")


def modules(package):
    """The modules of a package in this checkout, by the name that each should have in the wheel."""
    source = package / "src"
    return {path.relative_to(source).as_posix() for path in source.rglob("*.py")}


def expected(name):
    """The files that a wheel of a package should have, beside its metadata."""
    package = module_of(name)
    data = DATA.get(name, {f"{package}/weights.lock.json"})
    return modules(PACKAGES[name]) | data | {f"{package}/py.typed"}


def files_of(wheel):
    """The files of a wheel, and those of its metadata by their names within it."""
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    about = {name for name in names if ".dist-info/" in name}
    return names - about, {name.partition(".dist-info/")[2] for name in about}


# --- what is packed


@pytest.mark.parametrize("name", PACKAGES)
def test_a_wheel_holds_modules_data_and_licence_and_nothing_else(wheels, name):
    files, about = files_of(wheels[name])
    assert files == expected(name)
    assert about == METADATA_FILES


def test_the_wheel_of_pocket_stays_small(wheels):
    assert wheels["flashdreams-pocket"].stat().st_size <= LARGEST


@pytest.fixture(scope="module")
def archives(run_here, tmp_path_factory):
    """The source archive of each package."""
    folder = tmp_path_factory.mktemp("archives")
    for package in PACKAGES.values():
        run_here(sys.executable, "-m", "hatchling", "build", "-t", "sdist", "-d", folder, cwd=package)
    return {path.name.partition("-")[0].replace("_", "-"): path for path in folder.glob("*.tar.gz")}


@pytest.mark.parametrize("name", PACKAGES)
def test_a_source_archive_holds_what_the_wheel_is_built_from(archives, name):
    with tarfile.open(archives[name]) as archive:
        files = {member.name.partition("/")[2] for member in archive if member.isfile()}
    beside = {".gitignore", "LICENSE", "PKG-INFO", "README.md", "pyproject.toml"}
    assert files == {f"src/{file}" for file in expected(name)} | beside


def test_an_index_would_take_all_of_them(wheels, archives, run_here):
    checked = run_here(
        sys.executable, "-m", "twine", "check", "--strict", *wheels.values(), *archives.values(), cwd=ROOT
    )
    assert checked.count("PASSED") == len(wheels) + len(archives)


@pytest.mark.parametrize("name", PACKAGES)
def test_a_page_on_an_index_has_no_link_that_leads_nowhere(name):
    page = (PACKAGES[name] / "README.md").read_text()
    assert [link for link in re.findall(r"\]\(([^)]+)\)", page) if not link.startswith("https://")] == []


# --- which Python


def pythons_of_ci():
    """The versions of Python that the command of CI has: those for which ruff and mypy are set."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]
    target = settings["ruff"]["target-version"].removeprefix("py")
    assert settings["mypy"]["python_version"] == f"{target[0]}.{target[1:]}"
    return [settings["mypy"]["python_version"]]


@pytest.mark.parametrize("name", PACKAGES)
def test_only_what_is_tested_is_declared(wheels, name):
    tested = pythons_of_ci()
    with zipfile.ZipFile(wheels[name]) as archive:
        (path,) = (file for file in archive.namelist() if file.endswith(".dist-info/METADATA"))
        about = Parser().parsestr(archive.read(path).decode())
    prefix = "Programming Language :: Python :: "
    said = [line.removeprefix(prefix) for line in about.get_all("Classifier") if line.startswith(prefix)]
    assert [version for version in said if "." in version] == tested
    assert about["Requires-Python"] == f">={tested[0]}"
    assert about["Keywords"]
    assert about.get_all("Project-URL") is None


def test_the_tests_run_on_a_version_that_is_declared():
    assert f"{sys.version_info.major}.{sys.version_info.minor}" in pythons_of_ci()


# --- what is installed


@pytest.mark.slow
def test_core_alone_explains_what_to_install(bare_environment):
    assert bare_environment.listed.startswith("No slug is installed")
    assert "flashdreams-pocket" in bare_environment.listed


@pytest.mark.slow
def test_the_installed_commands_work(environment, tmp_path):
    listed = environment.run("flashdreams", "list", cwd=tmp_path)
    assert "pocket-racer" in {line.split()[0] for line in listed.splitlines()}
    environment.run("flashdreams", "run", "pocket-racer", "--total-blocks", "5", cwd=tmp_path)
    environment.run("flashdreams", "run", "self-forcing-tiny", "--total-blocks", "2", cwd=tmp_path)
    assert [path.stat().st_size > 0 for path in tmp_path.glob("outputs/*.mp4")] == [True, True]


@pytest.mark.slow
def test_the_installed_distributions_agree(environment, tmp_path):
    checked = environment.run("python", "-m", "pip", "check", cwd=tmp_path)
    assert checked.strip() == "No broken requirements found."
