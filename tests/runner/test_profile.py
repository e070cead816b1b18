import json

import pytest

from flashdreams.errors import OutputError
from flashdreams.infra.config import derive_config


def run(config, **changes):
    return derive_config(config, progress="off", **changes).setup().run()


def test_a_profile_is_written_and_shown(toys, tmp_path, capsys):
    run(toys.TOY, output=tmp_path / "v.mp4", profile=tmp_path / "new/trace.json", total_blocks=4)
    events = json.loads((tmp_path / "new/trace.json").read_text())["traceEvents"]
    assert sum(event["name"] == "denoise" for event in events) == 2 * 4
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith("part")
    assert lines[1].startswith("chunk period ")
    assert lines[-1] == f"The trace is in {tmp_path}/new/trace.json."


def test_a_run_that_fails_is_profiled_too(toys, tmp_path, capsys):
    with pytest.raises(RuntimeError, match="the wheel came off"):
        run(toys.TOY, output=tmp_path / "v.mp4", profile=tmp_path / "trace.json", fail_at=2)
    assert (tmp_path / "trace.json").exists()
    assert "denoise" in capsys.readouterr().err


def test_what_fails_before_the_first_chunk_leaves_no_profile(toys, tmp_path):
    with pytest.raises(RuntimeError):
        run(toys.TOY, output=tmp_path / "v.mp4", profile=tmp_path / "trace.json", fail_at=0)
    assert list(tmp_path.iterdir()) == []


def test_a_profile_replaces_nothing_unasked(toys, tmp_path):
    (tmp_path / "trace.json").write_text("mine")
    with pytest.raises(OutputError) as caught:
        run(toys.TOY, output=tmp_path / "v.mp4", profile=tmp_path / "trace.json")
    assert str(caught.value).endswith("Choose another name with --profile, or set --overwrite.")
    assert not (tmp_path / "v.mp4").exists()
    run(toys.TOY, output=tmp_path / "v.mp4", profile=tmp_path / "trace.json", overwrite=True, total_blocks=1)
    assert json.loads((tmp_path / "trace.json").read_text())


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("trace.txt", "The profile is trace.txt.\nA profile is a .json file"),
        ("trace", "Name it trace.json, for instance."),
        ("/proc/none/trace.json", "Choose another place with --profile."),
    ],
)
def test_a_profile_that_cannot_be_written_is_refused_at_once(toys, tmp_path, monkeypatch, name, message):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(OutputError) as caught:
        run(toys.TOY, output=tmp_path / "v.mp4", profile=name)
    assert message in str(caught.value)
