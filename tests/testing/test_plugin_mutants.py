"""An installed plugin with one fault fails first by the check that names it."""

import importlib.util
import os
from pathlib import Path


def load(name):
    path = Path(__file__).with_name(f"{name}.py")
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_check_that_names_the_fault_comes_first(tmp_path):
    mutants = load("plugin_mutants")
    tests = mutants.write(tmp_path)
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    failed = load("mutants").summary(tests, env=os.environ | {"PYTHONPATH": path}, cwd=tmp_path)
    expected = {f"Test{title}": plugin.caught_by for title, plugin in mutants.PLUGINS.items()}
    faultless = {name for name, check in expected.items() if not check}
    assert faultless == {"TestGood", "TestNeedsWhatIsAbsent"}
    expected = {name: check for name, check in expected.items() if check}
    expected["TestAbsent"] = "test_it_is_installed"
    assert {name: checks[0] for name, checks in failed.items()} == expected
