"""Each promise of the contract of pipelines, broken by a toy: the first failure names the fault."""

import importlib.util
import os
from pathlib import Path

import pytest

from flashdreams.testing import PipelineContract

FILE = Path(__file__).with_name("pipeline_mutants.py")


def load(path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


FOUND_BY = {name: made.found_by for name, made in vars(load(FILE)).items() if name.startswith("Test")}
"""Of each mutant, by its name: the check that must fail first; the toy without fault has none."""


def first_failures(**environment):
    """Of each class, the failure that comes first in the summary of pytest."""
    failed = load(FILE.with_name("mutants.py")).summary(FILE, env={**os.environ, **environment})
    return {name: checks[0] for name, checks in failed.items()}


def check_first_failures(first):
    expected = {name: check for name, check in FOUND_BY.items() if check}
    assert first == expected
    assert len(expected) >= 20


def test_every_fault_is_found_by_the_check_that_names_it():
    check_first_failures(first_failures())


@pytest.mark.slow
def test_that_check_comes_first_where_all_checks_are_run():
    check_first_failures(first_failures(ALL_CHECKS="1"))


def test_every_check_finds_some_fault():
    assert {*PipelineContract.checks()} == {check for check in FOUND_BY.values() if check}
