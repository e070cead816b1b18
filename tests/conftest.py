import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest
import torch

from flashdreams.infra.pipeline import StreamInferencePipeline
from flashdreams.testing.toy import toy_pipeline_config

torch.set_num_threads(1)

ROOT = Path(__file__).parents[1]
PACKAGES = [ROOT / "flashdreams-core", *sorted((ROOT / "flashdreams-plugins").iterdir())]
EXAMPLES = sorted(path for path in (ROOT / "docs/examples").iterdir() if path.is_dir())


@pytest.fixture
def toy() -> StreamInferencePipeline:
    return toy_pipeline_config().setup()


def done(line, **options):
    """What a command prints; it must succeed."""
    process = subprocess.run(
        list(map(str, line)), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **options
    )
    assert process.returncode == 0, f"{line}\n{process.stdout}"
    return process.stdout


def build_wheel(project: Path, folder: Path) -> Path:
    """Builds the wheel of a project, with the build backend of this environment."""
    before = set(folder.glob("*.whl"))
    done([sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder], cwd=project)
    (wheel,) = set(folder.glob("*.whl")) - before
    return wheel


@pytest.fixture
def unpack_wheel(tmp_path_factory):
    """Builds the wheel of a project and unpacks it into a folder, as an installation would."""

    def unpack(project: Path, site: Path) -> None:
        with zipfile.ZipFile(build_wheel(project, tmp_path_factory.mktemp("wheel"))) as archive:
            archive.extractall(site)

    return unpack


class Environment:
    """A virtual environment of its own, which knows nothing of the one that runs the tests."""

    def __init__(self, folder: Path):
        venv.create(folder, with_pip=True)
        self.scripts = folder / ("Scripts" if os.name == "nt" else "bin")
        inherited = {name: os.environ[name] for name in os.environ if not name.startswith("FLASHDREAMS_")}
        inherited.pop("PYTHONPATH", None)
        path = f"{self.scripts}{os.pathsep}{os.environ['PATH']}"
        self.variables = {**inherited, "PATH": path, "COLUMNS": "80", "NO_COLOR": "1", "OMP_NUM_THREADS": "1"}

    def install(self, *what):
        """Installs wheels or names, at the versions that are tested."""
        pip = (self.scripts / "python", "-m", "pip", "install", "-q", "-c", ROOT / "constraints.txt")
        done([*pip, *what], env=self.variables)

    def run(self, script, *arguments, cwd):
        """What a script of the environment prints."""
        return done([self.scripts / script, *arguments], env=self.variables, cwd=cwd)

    def shell(self, text, cwd):
        """What a piece of a shell script prints on stdout."""
        process = subprocess.run(
            ["bash", "-euc", text],
            env=self.variables,
            cwd=cwd,
            capture_output=True,
            text=True,
        )
        assert process.returncode == 0, f"{text}\n{process.stdout}{process.stderr}"
        return process.stdout


@pytest.fixture(scope="session")
def wheels(tmp_path_factory):
    """A wheel of each package and of each example, by the name of its distribution."""
    folder = tmp_path_factory.mktemp("wheels")
    return {project.name: build_wheel(project, folder) for project in (*PACKAGES, *EXAMPLES)}


@pytest.fixture(scope="session")
def environment(wheels, tmp_path_factory):
    """An environment with every package from its wheel, and what they depend on."""
    made = Environment(tmp_path_factory.mktemp("environment"))
    made.install(*(wheels[project.name] for project in PACKAGES))
    return made


@pytest.fixture(scope="session")
def bare_environment(wheels, tmp_path_factory):
    """An environment with core from its wheel and no plugin, and what it printed when it was asked."""
    made = Environment(tmp_path_factory.mktemp("bare"))
    made.install(wheels["flashdreams-core"])
    made.listed = made.run("flashdreams", "list", cwd=tmp_path_factory.mktemp("empty"))
    return made


@pytest.fixture(scope="session")
def racer_environment(bare_environment, wheels):
    """An environment with core, pocket-racer and the examples from their wheels, and pytest."""
    bare_environment.install(wheels["flashdreams-pocket"], *(wheels[e.name] for e in EXAMPLES), "pytest")
    return bare_environment


@pytest.fixture(scope="session")
def run_here():
    """Runs a command with the environment of the tests; it must succeed, and what it prints is returned."""
    return lambda *line, cwd: done(line, cwd=cwd)
