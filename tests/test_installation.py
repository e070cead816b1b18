"""The wheels that are built, and a fresh environment into which they are installed."""

import os
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

from flashdreams_pocket import shipped

ROOT = Path(__file__).parents[1]
CORE = ROOT / "flashdreams-core"
PLUGINS = {path.name.replace("-", "_"): path for path in (ROOT / "flashdreams-plugins").iterdir()}
POCKET = PLUGINS["flashdreams_pocket"]
DATA = {
    "flashdreams_pocket": {f"flashdreams_pocket/weights/{p.name}" for p in (shipped.WEIGHTS, shipped.STARTS)},
    **{name: {f"{name}/weights.lock.json"} for name in PLUGINS.keys() - {"flashdreams_pocket"}},
}
"""Files of each plugin's wheel that are no modules."""
LARGEST = 8_000_000
"""Bytes of the wheel of flashdreams-pocket, its weights included."""

pytestmark = pytest.mark.slow


def run(*command, **options):
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, **options)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheels(tmp_path_factory):
    """A wheel of each package, by the name of the package."""
    folder = tmp_path_factory.mktemp("wheels")
    run(sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", folder, CORE, *PLUGINS.values())
    return {path.name.partition("-")[0]: path for path in folder.glob("*.whl")}


@pytest.fixture(scope="module")
def environment(wheels, tmp_path_factory):
    """The scripts of an environment that holds the wheels and what they depend on, and nothing else."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=True)
    scripts = folder / ("Scripts" if os.name == "nt" else "bin")
    constraints = ROOT / "constraints.txt"
    run(scripts / "python", "-m", "pip", "install", "-q", "-c", constraints, *wheels.values())
    return scripts


def packed(wheel):
    """The files of a wheel but its metadata."""
    with zipfile.ZipFile(wheel) as archive:
        return {name for name in archive.namelist() if ".dist-info/" not in name}


def modules(package):
    """The modules of a package in this checkout, by the name that each should have in the wheel."""
    source = package / "src"
    return {path.relative_to(source).as_posix() for path in source.rglob("*.py")}


def test_the_wheel_of_core_holds_its_modules_and_two_files(wheels):
    data = {"flashdreams/py.typed", "flashdreams/plugins/catalogue.json"}
    assert packed(wheels["flashdreams_core"]) == modules(CORE) | data


@pytest.mark.parametrize("name", PLUGINS)
def test_the_wheel_of_a_plugin_holds_its_modules_and_data_and_no_tests(wheels, name):
    assert packed(wheels[name]) == modules(PLUGINS[name]) | DATA[name]


def test_the_wheel_of_pocket_stays_small(wheels):
    assert wheels["flashdreams_pocket"].stat().st_size <= LARGEST


def test_the_installed_commands_work(environment, tmp_path):
    listed = run(environment / "flashdreams", "list", cwd=tmp_path)
    assert "pocket-racer" in {line.split()[0] for line in listed.splitlines()}
    run(environment / "flashdreams", "run", "pocket-racer", "--total-blocks", "5", cwd=tmp_path)
    run(environment / "flashdreams", "run", "self-forcing-tiny", "--total-blocks", "2", cwd=tmp_path)
    assert [path.stat().st_size > 0 for path in tmp_path.glob("outputs/*.mp4")] == [True, True]


def test_the_installed_distributions_agree(environment):
    assert run(environment / "python", "-m", "pip", "check").strip() == "No broken requirements found."
