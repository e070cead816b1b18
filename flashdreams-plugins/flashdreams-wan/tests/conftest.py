"""Golden files of the published implementations, where somebody has them."""

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def oracles() -> Path:
    """The folder that ``FLASHDREAMS_ORACLES`` names; see docs/models/wan.md for what lies in it."""
    folder = os.environ.get("FLASHDREAMS_ORACLES")
    if not folder:
        pytest.skip("FLASHDREAMS_ORACLES names no folder of golden files")
    return Path(folder)
