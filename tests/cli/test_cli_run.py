import logging

import pytest


@pytest.fixture(autouse=True)
def _same_logging():
    root = logging.getLogger()
    level, handlers = root.level, list(root.handlers)
    yield
    root.setLevel(level)
    root.handlers[:] = handlers


def test_run_builds_and_runs_the_config_of_the_line(cli):
    outcome = cli("run", "toy-16px", "--total-blocks", "3", "--seed=7")
    assert (outcome.code, outcome.out, outcome.err) == (0, "3 blocks, seed 7\n", "")


def test_run_without_slug_lists_what_can_be_run(cli):
    outcome = cli("run")
    assert (outcome.code, outcome.out) == (2, "")
    lines = outcome.err.splitlines()
    assert lines[:2] == ["error: No slug was given.", "       These can be run:"]
    assert any(line.split() == ["toy-16px", "A", "toy", "of", "16", "pixels."] for line in lines)
    assert lines[-1].startswith("       Try `flashdreams run ")


def test_the_slug_comes_before_its_flags(cli):
    outcome = cli("run", "--seed", "3", "toy-16px")
    assert outcome.code == 2
    assert "'--seed' stands where a slug was expected." in outcome.err
    assert "Put the slug first: `flashdreams run SLUG --seed 3 toy-16px`." in outcome.err


def test_unknown_slug_names_the_nearest(cli):
    outcome = cli("run", "toy-16")
    assert outcome.code == 2
    assert outcome.err.splitlines()[:2] == [
        "error: There is no slug 'toy-16'.",
        "       Did you mean 'toy-16px'?",
    ]


@pytest.mark.parametrize(
    "argv",
    [
        ("--print-config", "toy-16px", "--seed", "3"),
        ("toy-16px", "--print-config", "--seed", "3"),
        ("toy-16px", "--seed", "3", "--print-config"),
        (
            "toy-16px",
            "--pipeline.diffusion-model.scheduler.denoising-timesteps",
            "9",
            "--print-config",
            "--seed=3",
        ),
    ],
)
def test_print_config_prints_and_builds_nothing_wherever_it_stands(cli, argv):
    outcome = cli("run", *argv)
    assert outcome.code == 0
    assert outcome.out.startswith("ToyRunnerConfig\n")
    assert "\n  seed                       3\n" in outcome.out
    assert "blocks, seed" not in outcome.out


def test_print_config_validates(cli):
    outcome = cli("run", "toy-16px", "--print-config", "--total-blocks", "0")
    assert (outcome.code, outcome.out) == (2, "")
    assert "total_blocks is 0." in outcome.err


def test_failed_run_is_1_with_a_traceback(cli):
    outcome = cli("run", "toy-16px", "--mode", "fail")
    assert outcome.code == 1
    assert outcome.err.startswith("Traceback")
    assert outcome.err.endswith("RuntimeError: the model broke\n")


def test_ctrl_c_is_130_without_a_traceback(cli):
    outcome = cli("run", "toy-16px", "--mode", "interrupt")
    assert outcome.code == 130
    assert "Traceback" not in outcome.err


@pytest.mark.parametrize(("mode", "code"), [("no folder", 2), ("full disk", 1)])
def test_typed_error_of_the_run_has_its_own_code(cli, mode, code):
    outcome = cli("run", "toy-16px", "--mode", mode)
    assert outcome.code == code
    assert outcome.err.startswith("error: The")
    assert len(outcome.err.splitlines()) == 3


@pytest.mark.parametrize(
    ("verbose", "level"), [((), "WARNING"), (("-v",), "INFO"), (("-v", "--verbose"), "DEBUG")]
)
def test_verbose_sets_the_level_of_logging(cli, caplog, verbose, level):
    assert cli("run", *verbose, "toy-16px").code == 0
    assert logging.getLevelName(logging.getLogger().level) == level
    assert ("the run begins" in caplog.text) == bool(verbose)


def test_overview_of_run(cli):
    outcome = cli("run", "--help")
    assert outcome.code == 0
    for text in ("toy-16px", "--config FILE", "--use KIND=NAME", "--print-config", "-v, --verbose"):
        assert text in outcome.out


def test_broken_plugin_is_named_and_the_run_goes_on(cli, monkeypatch):
    monkeypatch.setenv("FLASHDREAMS_RUNNER_CONFIGS", "nonsense")
    outcome = cli("run", "toy-16px")
    assert (outcome.code, outcome.out) == (0, "7 blocks, seed 0\n")
    assert "nonsense" in outcome.err
    assert len(outcome.err.splitlines()) == 1
