import os
from pathlib import Path

import pytest

from flashdreams.io.artefacts import ArtefactStore


@pytest.fixture(scope="session")
def compiled_store(tmp_path_factory: pytest.TempPathFactory) -> ArtefactStore:
    """Code that tests had made: one store for all of them, in all processes that run tests side by side."""
    root: Path = tmp_path_factory.getbasetemp()
    return ArtefactStore((root.parent if "PYTEST_XDIST_WORKER" in os.environ else root) / "compiled")
