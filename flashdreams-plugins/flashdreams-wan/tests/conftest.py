"""Golden files of the published implementations, where somebody has them."""

import json
import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def oracles() -> Path:
    """The folder that ``FLASHDREAMS_ORACLES`` names.

    In ``keys/`` are names and shapes of the published checkpoints; in ``sf_tiny/``, ``sf_tiny_bf16/`` and
    ``wan21_tiny/`` inputs and outputs of the published code on tiny random weights.
    """
    folder = os.environ.get("FLASHDREAMS_ORACLES")
    if not folder:
        pytest.skip("FLASHDREAMS_ORACLES names no folder of golden files")
    return Path(folder)


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory, monkeypatch):
    """A cache of embeddings that no other test and no user shares."""
    monkeypatch.setenv("FLASHDREAMS_CACHE", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture
def parity(record_property):
    """Records an error for the table of docs/models/parity.md: ours, and theirs beside the same reference."""

    def record(title: str, ours: float, theirs: float | None = None) -> None:
        record_property("parity", json.dumps([title, ours, theirs]))

    return record
