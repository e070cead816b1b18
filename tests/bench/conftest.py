import os
from pathlib import Path

import pytest

from flashdreams.cli.main import main
from flashdreams.plugins.registry import installed_registry

HERE = str(Path(__file__).parent)
SLUGS = "toy=bench_toys:TOY,own-way=bench_toys:OWN_WAY"


@pytest.fixture
def command(capsys, monkeypatch):
    """Runs `flashdreams ...` in this process, with the toys registered here and in new processes."""
    monkeypatch.syspath_prepend(HERE)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, [HERE, os.environ.get("PYTHONPATH", "")])))
    monkeypatch.setenv("FLASHDREAMS_RUNNER_CONFIGS", SLUGS)
    installed_registry.cache_clear()

    def run(*words):
        code = main(words)
        return code, *capsys.readouterr()

    yield run
    installed_registry.cache_clear()
