"""A component with one fault fails first by the check that names it, and is told what to change."""

import importlib.util
from pathlib import Path

import pytest

from flashdreams.testing.contract import run_checks

FILE = Path(__file__).with_name("component_mutants.py")


def load(path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


MUTANTS = load(FILE)


@pytest.fixture(scope="module")
def first_failures():
    failed = load(FILE.with_name("mutants.py")).summary(FILE)
    return {name: checks[0] for name, checks in failed.items()}


def test_the_check_that_names_the_fault_comes_first(first_failures):
    assert first_failures == MUTANTS.CAUGHT_BY
    assert len(first_failures) >= 40


@pytest.mark.parametrize("name", MUTANTS.CAUGHT_BY)
def test_the_message_says_what_is_right_and_what_to_change(name):
    failed = [r for r in run_checks(getattr(MUTANTS, name)) if r.outcome == "failed"]
    assert failed[0].check == MUTANTS.CAUGHT_BY[name]
    _, right, change = failed[0].message.splitlines()
    assert all(part[0].isupper() or part[0] == "`" for part in (right, change))
    assert all(part.endswith(".") for part in (right, change))
