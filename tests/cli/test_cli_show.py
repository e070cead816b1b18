import json

import pytest

CHANGES = (
    "--seed", "3",
    "--use", "scheduler=toy-one-step",
    "--pipeline.diffusion-model.scheduler.timestep", "800",
    "--pipeline.encoder", "None",
    "--prompts", "a cat", "null",
    "--crop", "1", "2",
    "--output", "out.mp4",
)  # fmt: skip


def test_tree(cli):
    outcome = cli("show", "toy-16px", "--seed", "3")
    assert outcome.code == 0
    assert outcome.out.startswith("ToyRunnerConfig\n  runner_name ")
    assert "\n  seed                       3\n" in outcome.out


@pytest.mark.parametrize("form", ["yaml", "json"])
@pytest.mark.parametrize("diff", [(), ("--diff",)])
def test_export_loads_back_equal(cli, tmp_path, form, diff):
    file = tmp_path / f"exported.{form}"
    file.write_text(cli("show", "toy-16px", *CHANGES, "--format", form, *diff).out)
    wanted = cli("show", "toy-16px", *CHANGES, "--format", "json").out
    assert cli("show", "--config", str(file), "--format", "json").out == wanted
    assert cli("show", "toy-16px", "--format", "json").out != wanted


def test_diff_holds_only_what_differs(cli):
    outcome = cli("show", "toy-16px", "--seed", "3", "--diff", "--format", "json")
    assert json.loads(outcome.out) == {"slug": "toy-16px", "config": {"seed": 3}}


def test_diff_as_lines(cli):
    outcome = cli("show", "toy-16px", "--seed", "3", "--pipeline.dtype", "bfloat16", "--diff")
    assert [line.split() for line in outcome.out.splitlines()] == [
        ["pipeline.dtype", "'float32'", "->", "'bfloat16'"],
        ["seed", "0", "->", "3"],
    ]


def test_unknown_format(cli):
    outcome = cli("show", "toy-16px", "--format", "yml")
    assert outcome.code == 2
    assert outcome.err.splitlines() == [
        "error: --format is 'yml'.",
        "       Did you mean 'yaml'?",
        "       Write --format tree|yaml|json.",
    ]


def test_help_of_a_slug(cli):
    outcome = cli("show", "toy-16px", "--help")
    assert outcome.code == 0
    for text in ("--format tree|yaml|json", "--diff", "--total-blocks INT"):
        assert text in outcome.out


@pytest.fixture
def written(tmp_path):
    def written(text: str, name: str = "file.yaml") -> str:
        path = tmp_path / name
        path.write_text(text)
        return str(path)

    return written


def test_flags_win_over_the_file(cli, written):
    file = written("slug: toy-16px\nconfig:\n  seed: 5\n  total_blocks: 2\n")
    assert cli("run", "--config", file, "--seed", "6").out == "2 blocks, seed 6\n"
    assert cli("run", "toy-16px", "--config", file).out == "2 blocks, seed 5\n"
    assert cli("run", "--seed", "6", "--config", file).out == "2 blocks, seed 6\n"


def test_file_of_fields_alone(cli, written):
    assert cli("run", "toy-16px", "--config", written("total_blocks: 4\n")).out == "4 blocks, seed 0\n"


def test_file_with_a_component_by_name(cli, written):
    file = written(
        "slug: toy-16px\n"
        "config: {pipeline: {diffusion_model: {scheduler: {_use: toy-one-step, timestep: 7}}}}"
    )
    outcome = cli("show", "--config", file, "--diff")
    assert outcome.code == 0
    assert "StepsConfig -> toy-one-step" in outcome.out


@pytest.mark.parametrize(
    ("text", "argv", "error"),
    [
        ("slug: other", ["toy-16px"], "file.yaml is a config of other, but toy-16px was asked for."),
        ("slug: other", [], "There is no slug 'other'."),
        ("slug: 3", [], "file.yaml is 3."),
        ("total_blocks: 3", [], "No slug was given."),
        ("slug: toy-16px\ntotal_blocks: 3", [], "file.yaml has total_blocks beside its slug."),
        ("slug: toy-16px\nconfig: 3", [], "file.yaml has 3 for its config."),
        ("slug: toy-16px\nconfig: {sed: 3}", [], "sed is no field of ToyRunnerConfig."),
        ("slug: toy-16px\nconfig: {seed: three}", [], "seed is 'three', of type str."),
        ("slug: toy-16px\nconfig: {runner_name: x}", [], "file.yaml sets runner_name to 'x'."),
        ("slug: [", [], "file.yaml is not valid YAML"),
        (
            "slug: toy-16px\nconfig: {pipeline: {decoder: {_use: toy-curse}}}",
            [],
            "There is no decoder 'toy-curse'.",
        ),
    ],
)
def test_bad_files(cli, written, text, argv, error):
    outcome = cli("run", *argv, "--config", written(text))
    assert (outcome.code, outcome.out) == (2, "")
    assert error in outcome.err


def test_absent_file(cli, tmp_path):
    outcome = cli("run", "--config", str(tmp_path / "no.yaml"))
    assert outcome.code == 2
    assert "no.yaml cannot be read" in outcome.err


def test_two_files(cli, written):
    outcome = cli("run", "--config", written("{}", "a.yaml"), "--config", written("{}", "b.yaml"))
    assert outcome.code == 2
    assert "--config is given 2 times" in outcome.err
