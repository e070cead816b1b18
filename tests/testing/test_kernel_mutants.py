"""A kernel with one fault fails first by the check that names it."""

import importlib.util
from pathlib import Path

import pytest

FILE = Path(__file__).with_name("kernel_mutants.py")
pytestmark = pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="triton is not installed")


def load(path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_check_that_names_the_fault_comes_first():
    failed = load(FILE.with_name("mutants.py")).summary(FILE)
    assert {name: checks[0] for name, checks in failed.items()} == load(FILE).CAUGHT_BY
