"""``flashdreams plugins check``: one line a check, and an exit code."""

import importlib.util
import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

TOY = """
from flashdreams.infra.config import derive_config
from flashdreams.infra.runner.base import Runner
from flashdreams.infra.runner.capabilities import Capabilities
from flashdreams.infra.runner.config import RunnerConfig
from flashdreams.testing.toy import ToyDecoderConfig as DecoderConfig, toy_pipeline_config

class ToyRunner(Runner):
    capabilities = Capabilities(prompts=True, controls=True)

    def conditions(self):
        return {"prompts": ["a fox"]}

    def control_examples(self):
        return (0.0, 1.0)

def runner():
    return RunnerConfig(_target=ToyRunner, runner_name="SLUG", pipeline=toy_pipeline_config())
"""


@pytest.fixture(scope="module")
def mutants():
    """Plugins to install, one good and the others with a fault each."""
    path = Path(__file__).parents[1] / "testing/plugin_mutants.py"
    spec = importlib.util.spec_from_file_location("plugin_mutants", path)
    mutants = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = mutants
    spec.loader.exec_module(mutants)
    return mutants


@pytest.fixture(scope="module")
def check(tmp_path_factory, mutants):
    """Runs the command where plugins are installed: a good one, and some with a fault."""
    site = tmp_path_factory.mktemp("site")
    good = replace(mutants.PLUGINS["Good"], config=TOY, name="toy-plugin")
    raising = replace(good, name="raising", config=TOY.replace('"a fox"', '{}["fox"]'))
    clashing = [replace(good, name=name, slug="wanted-by-two") for name in ("one", "other")]
    broken = [mutants.PLUGINS[name] for name in ("NoSummary", "MisspeltTarget")]
    for plugin in (good, raising, *clashing, *broken):
        plugin.install(site)

    def run(*words, site=site):
        path = os.pathsep.join([str(site), os.environ.get("PYTHONPATH", "")])
        return subprocess.run(
            [sys.executable, "-m", "flashdreams", "plugins", "check", *words],
            env=os.environ | {"PYTHONPATH": path},
            cwd=site,
            capture_output=True,
            text=True,
        )

    return run


def test_a_good_plugin_passes_every_check(check):
    done = check("toy-plugin")
    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == "toy-plugin 1.0"
    titles = [line for line in lines[1:-1] if line and not line.startswith(" ")]
    assert titles == ["plugin toy-plugin", "component decoder toy-plugin", "slug toy-plugin"]
    assert "  ok      it is installed" in lines
    assert re.search(r"^  ok      listing it imports nothing heavy, \d+\.\d ms$", done.stdout, re.MULTILINE)
    assert re.fullmatch(r"\d+ passed, \d+ skipped in \d+\.\d s|\d+ passed in \d+\.\d s", lines[-1])
    assert "FAILED" not in done.stdout


def test_a_fault_is_told_in_three_lines_and_by_the_exit_code(check):
    done = check("no-summary")
    assert done.returncode == 1
    expected = (
        "  FAILED  summaries are one line\n"
        "          The summary of slug no-summary is ''.\n"
        "          It says in one line of at most 120 characters what it is.\n"
        "          Write one where it is registered;"
    )
    assert expected in done.stdout
    assert "  ok      every target resolves" in done.stdout, "the checks after it run"
    assert re.search(r", \d+ failed in", done.stdout.splitlines()[-1])
    assert done.stderr == ""


@pytest.mark.parametrize(
    ("name", "cause"),
    [("misspelt-target", "AttributeError: module 'misspelt_target.config'"), ("raising", "KeyError: 'fox'")],
)
def test_a_slug_that_fails_before_it_can_be_tried_is_no_skip(check, name, cause):
    done = check(name, "--slug", name)
    assert done.returncode == 1, done.stdout
    assert f"It fails before it can be tried: {cause}" in done.stdout
    assert done.stdout.splitlines()[-1].startswith("1 failed in ")


def test_what_a_plugin_prints_is_not_among_the_lines(check, mutants, tmp_path):
    noisy = replace(mutants.PLUGINS["Good"], name="noisy", plugin=f"print('hello')\n{mutants.PLUGIN}")
    noisy.install(tmp_path)
    done = check("noisy", "--slug", "noisy", "--json", site=tmp_path)
    assert json.loads(done.stdout)["distribution"] == "noisy"
    assert "hello" in done.stderr


def test_a_claimed_slug_is_told_with_its_claimants(check):
    done = check("one", "--slug", "wanted-by-two")
    assert done.returncode == 2
    assert "wanted-by-two is claimed by plugin one (one 1.0) and by plugin other (other 1.0)" in done.stderr


def test_json_for_programs(check):
    done = check("toy-plugin", "--slug", "toy-plugin", "--json")
    told = json.loads(done.stdout)
    assert (done.returncode, told["distribution"], told["version"]) == (0, "toy-plugin", "1.0")
    assert {each["about"] for each in told["checks"]} == {"slug toy-plugin"}
    assert {each["outcome"] for each in told["checks"]} <= {"passed", "skipped"}
    assert all(each["message"] for each in told["checks"] if each["outcome"] == "skipped")
    assert told["checks"][0].keys() == {"about", "check", "outcome", "message", "seconds"}


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ((), "error: 0 plugins are named."),
        (("toy-plugin", "no-summary"), "error: 2 plugins are named."),
        (("toy-plugim",), "error: There is no plugin 'toy-plugim'.\n       Did you mean 'toy-plugin'?"),
        (("toy-plugin", "--slug", "toy"), "error: toy-plugin has no slug 'toy'."),
        (("toy-plugin", "--jsom"), "error: `flashdreams plugins check` does not take '--jsom'."),
    ],
)
def test_lines_that_name_nothing_to_check(check, words, told):
    done = check(*words)
    assert done.returncode == 2
    assert done.stderr.startswith(told), done.stderr
    assert done.stdout == ""


def test_its_help(check):
    done = check("--help")
    assert done.returncode == 0
    assert "usage: flashdreams plugins check NAME [options]" in done.stdout
    assert "--slug SLUG" in done.stdout
