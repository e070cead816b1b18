"""Generated projects, installed as pip leaves an editable one: its folder on the path, and a dist-info."""

import os
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path

import pytest

from flashdreams.scaffold.names import Names
from flashdreams.scaffold.project import write_project

ONE_THREAD = {"OMP_NUM_THREADS": "1", "NO_COLOR": "1"}


@dataclass(frozen=True)
class Project:
    """A generated project on a path of its own."""

    folder: Path
    names: Names

    @property
    def source(self) -> Path:
        return self.folder / "src"

    def python(self, *arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
        path = os.pathsep.join([str(self.source), os.environ.get("PYTHONPATH", "")])
        return subprocess.run(
            [sys.executable, *arguments],
            cwd=cwd or self.folder,
            env=os.environ | ONE_THREAD | {"PYTHONPATH": path},
            capture_output=True,
            text=True,
        )


def install(folder: Path, names: Names) -> None:
    """What an editable installation says of the project, beside its sources."""
    project = tomllib.loads((folder / "pyproject.toml").read_text())["project"]
    info = folder / "src" / f"{names.package}-{project['version']}.dist-info"
    info.mkdir()
    needs = "".join(f"Requires-Dist: {need}\n" for need in project["dependencies"])
    head = f"Metadata-Version: 2.4\nName: {project['name']}\nVersion: {project['version']}\n"
    (info / "METADATA").write_text(f"{head}Summary: {project['description']}\n{needs}")
    groups = project["entry-points"].items()
    (info / "entry_points.txt").write_text(
        "".join(f"[{group}]\n" + "".join(f"{n} = {v}\n" for n, v in named.items()) for group, named in groups)
    )
    (info / "RECORD").write_text("")


@pytest.fixture
def generated(tmp_path):
    """Writes a project of some kind and installs it."""

    def make(kind: str, name: str = "my-model") -> Project:
        names = Names(name)
        folder = tmp_path / kind / names.distribution
        write_project(folder, kind, names)
        install(folder, names)
        return Project(folder, names)

    return make
