"""From the record of a run back to the run."""

import json

import pytest

from flashdreams.io.checksum import sha256_of


@pytest.fixture
def record(tmp_path):
    """Writes the record of a run that was made from a file of prompts."""
    prompts = tmp_path / "prompts.txt"
    prompts.write_text("a cat")

    def record(**changes) -> tuple[str, str]:
        made_from = {"seed": 3, "files": {str(prompts): sha256_of(prompts)}}
        config = {"seed": 3, "prompts": [str(prompts)]}
        path = tmp_path / "video.run.json"
        path.write_text(
            json.dumps({"slug": "toy-16px", "config": config, "made_from": made_from, "made": {}, **changes})
        )
        return str(path), str(prompts)

    return record


def test_a_record_runs_again(cli, record):
    outcome = cli("run", "--config", record()[0])
    assert (outcome.code, outcome.out, outcome.err) == (0, "7 blocks, seed 3\n", "")


def test_a_record_without_changes_runs_again(cli, record):
    outcome = cli("run", "--config", record(config=None, made_from=None)[0])
    assert (outcome.code, outcome.out) == (0, "7 blocks, seed 0\n")


@pytest.mark.parametrize("option", [(), ("--print-config",)])
def test_a_changed_input_file_is_refused(cli, record, option):
    file, prompts = record()
    with open(prompts, "a") as opened:
        opened.write(" and a dog")
    outcome = cli("run", "--config", file, *option)
    assert (outcome.code, outcome.out) == (2, "")
    assert outcome.err.startswith(f"error: {prompts} is not the file that the run was made from")


def test_a_changed_input_file_does_not_matter_once_another_is_named(cli, record):
    file, prompts = record()
    with open(prompts, "a") as opened:
        opened.write(" and a dog")
    assert cli("run", "--config", file, "--prompts", "other.txt").code == 0


def test_other_versions_are_named(cli, record):
    outcome = cli("run", "--config", record(versions={"cli-toys": "1.1"})[0])
    assert outcome.code == 0
    assert outcome.err == "cli-toys was 1.1, and is 1.2: the video may differ.\n"
