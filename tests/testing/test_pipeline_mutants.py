"""Each promise of the contract of pipelines, broken by a toy: the first failure names the fault."""

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

MUTANTS = Path(__file__).with_name("pipeline_mutants.py")


def mutants():
    """Of each mutant, by its name: the check that must fail first; the toy without fault has none."""
    spec = importlib.util.spec_from_file_location("pipeline_mutants", MUTANTS)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return {name: made.found_by for name, made in vars(module).items() if name.startswith("Test")}


def first_failures(**environment):
    """Of each class, the failure that comes first in the summary of pytest, and what was seen."""
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "--tb=no", "-rf", "-p", "no:cacheprovider", str(MUTANTS)],
        capture_output=True,
        text=True,
        env={**os.environ, "COLUMNS": "400", **environment},
        cwd=MUTANTS.parents[2],
        check=False,
    )
    assert "no tests ran" not in ran.stdout, ran.stdout + ran.stderr
    first = {}
    for name, check, seen in re.findall(r"^FAILED \S+::(\w+)::(\w+) - (.*)$", ran.stdout, re.MULTILINE):
        first.setdefault(name, (check, seen))
    return first


def check_first_failures(first):
    expected = {name: check for name, check in mutants().items() if check}
    assert {name: check for name, (check, _) in first.items()} == expected
    assert len(expected) >= 20


def test_every_fault_is_found_by_the_check_that_names_it():
    check_first_failures(first_failures())


@pytest.mark.slow
def test_that_check_comes_first_where_all_checks_are_run():
    check_first_failures(first_failures(ALL_CHECKS="1"))


def test_every_check_finds_some_fault():
    from flashdreams.testing import PipelineContract

    assert {*PipelineContract.checks()} == {check for check in mutants().values() if check}
