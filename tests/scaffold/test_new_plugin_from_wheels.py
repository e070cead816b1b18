"""The first sitting of an author: wheels in a clean environment, and the commands that new-plugin prints.

The environment has what FlashDreams needs from the one that runs the tests, so that torch is not installed
again; FlashDreams itself and the tools that a project is tested with come by pip.
"""

import os
import subprocess
import sysconfig
import time
import venv
from pathlib import Path

import pytest

from flashdreams.scaffold.kinds import KINDS

ROOT = Path(__file__).parents[2]
OURS = (
    "flashdreams",
    "__editable__",
    "_editable",
    "pytest",
    "_pytest",
    "ruff",
    "pip",
    "distutils-precedence",
)
"""What names in site-packages begin with that the environment does not take over."""
LIMIT = 120
"""Seconds that a kind may take on two cores with nothing else to do. Told, not asserted: machines differ."""

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def shell(tmp_path_factory):
    """Runs a line in an environment that has core and the plugin that configs derive from, from wheels."""
    folder = tmp_path_factory.mktemp("sitting")
    venv.create(folder / "env", with_pip=True)
    _take_over(folder)
    bin_folder = str(folder / "env" / "bin")
    variables = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    variables |= {"PATH": os.pathsep.join([bin_folder, os.environ["PATH"]]), "OMP_NUM_THREADS": "1"}

    def run(line: str) -> str:
        done = subprocess.run(line, shell=True, cwd=folder, env=variables, capture_output=True, text=True)
        assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
        return done.stdout

    packages = [ROOT / "flashdreams-core", ROOT / "flashdreams-plugins/flashdreams-pocket"]
    run(f"pip wheel -q --no-deps -w wheels {' '.join(map(str, packages))}")
    run("pip install -q wheels/*.whl")
    return run


def _take_over(folder: Path) -> None:
    """Let the environment see all that is installed here but what is ours, as if it were its own."""
    dependencies = folder / "dependencies"
    dependencies.mkdir()
    for key in ("purelib", "platlib"):
        for path in Path(sysconfig.get_path(key)).iterdir():
            if not path.name.startswith(OURS) and not (dependencies / path.name).exists():
                (dependencies / path.name).symlink_to(path)
    (site,) = folder.glob("env/lib/python*/site-packages")
    (site / "dependencies.pth").write_text(f"{dependencies}\n")


@pytest.mark.skipif(os.name == "nt", reason="lines are those of a POSIX shell")
@pytest.mark.parametrize("kind", KINDS)
def test_what_is_printed_works(shell, kind, record_property):
    began = time.perf_counter()
    name = f"my-{kind}"
    blocks = shell(f"flashdreams new-plugin {name} --kind {kind}").split("\n\n")
    commands = [line.strip() for line in blocks[1].splitlines()[1:]]
    install, run, test, check = commands
    shell(install)
    slug = run.split()[2]
    assert slug in {line.split()[0] for line in shell("flashdreams list").splitlines()}
    shell(run)
    assert "passed" in shell(test).splitlines()[-1]
    checked = shell(check).splitlines()[-1]
    seconds = time.perf_counter() - began
    record_property(f"seconds of {kind}", seconds)
    print(f"{kind}: {seconds:.0f} s, of {LIMIT}. {checked}")


@pytest.mark.skipif(os.name == "nt", reason="lines are those of a POSIX shell")
def test_a_wheel_of_it_is_complete(shell):
    """Built and installed as others will have it, it passes the checks that an editable one skips."""
    shell("flashdreams new-plugin my-wheel --kind decoder")
    shell("pip install -q ./flashdreams-my-wheel")
    told = shell("flashdreams plugins check flashdreams-my-wheel").splitlines()
    files = [line for line in told if "installed" in line or "wheel" in line or "py.typed" in line]
    assert files
    assert not [line for line in files if line.split()[0] == "skip"], files
    assert shell("pip check").strip() == "No broken requirements found."
