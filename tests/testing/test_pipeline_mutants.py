"""Each promise of the contract of pipelines, broken by a toy: the first failure names the fault."""

import importlib
import os
from pathlib import Path

import pytest
from mutants import summary

from flashdreams.testing import PipelineContract

FILES = sorted(Path(__file__).with_name("pipeline_mutants").glob("[!_]*.py"))
MODULES = [importlib.import_module(f"pipeline_mutants.{file.stem}") for file in FILES]
MUTANTS = {name: made for module in MODULES for name, made in vars(module).items() if name.startswith("Test")}
FOUND_BY = {name: made.found_by for name, made in MUTANTS.items()}
"""Of each mutant, by its name: the check that must fail first; the toy without fault has none."""


def first_failures(**environment):
    """Of each class, the failure that comes first in the summary of pytest."""
    failed = summary(*FILES, env={**os.environ, **environment})
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
