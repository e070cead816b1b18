import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from flashdreams.cli.main import main
from flashdreams.plugins.registry import installed_registry

HERE = Path(__file__).parent
METADATA = "Metadata-Version: 2.1\nName: cli-toys\nVersion: 1.2\nSummary: Toys for the command line.\n"
ENTRY_POINTS = "[flashdreams.plugins]\ncli-toys = cli_toys_plugin\n"


@dataclass(frozen=True)
class Outcome:
    code: int
    out: str
    err: str


@pytest.fixture(scope="session")
def toys_path(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What to put on the module path so that a distribution with the toys is installed."""
    site = tmp_path_factory.mktemp("site")
    info = site / "cli_toys-1.2.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(METADATA)
    (info / "entry_points.txt").write_text(ENTRY_POINTS)
    return os.pathsep.join([str(site), str(HERE)])


@pytest.fixture
def toys(toys_path: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for entry in toys_path.split(os.pathsep):
        monkeypatch.syspath_prepend(entry)
    installed_registry.cache_clear()
    yield
    installed_registry.cache_clear()


@pytest.fixture
def cli(
    toys: None, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Outcome]:
    """Runs a command in this process, in a terminal of 80 columns."""
    monkeypatch.setenv("COLUMNS", "80")

    def run(*argv: str) -> Outcome:
        code = main(argv)
        captured = capsys.readouterr()
        return Outcome(code, captured.out, captured.err)

    return run
