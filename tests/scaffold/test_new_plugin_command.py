import subprocess
import sys

import pytest

from flashdreams.cli.main import main
from flashdreams.scaffold.kinds import KINDS

LIMITED = """
import resource, sys
from flashdreams.cli.main import main
resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))
sys.exit(main(["new-plugin", "my-model"]))
"""
"""A process that can write no file of more than 5000 bytes; the licence is larger."""


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_it_says_what_it_wrote_and_what_to_do_next(here, capsys):
    assert main(["new-plugin", "my-model"]) == 0
    wrote, *listed = capsys.readouterr().out.split("\n\n")[0].splitlines()
    assert wrote == "Wrote flashdreams-my-model, a plugin of kind model:"
    written = [path for path in (here / "flashdreams-my-model").rglob("*") if path.is_file()]
    expected = sorted(path.relative_to(here / "flashdreams-my-model").as_posix() for path in written)
    assert [line.strip() for line in listed] == expected


def test_the_next_commands_name_what_was_made(here, capsys):
    assert main(["new-plugin", "my-part", "--kind", "decoder", "--output", "a folder"]) == 0
    assert (here / "a folder/flashdreams-my-part/pyproject.toml").is_file()
    assert capsys.readouterr().out.split("\n\n")[1].splitlines() == [
        "Next:",
        "  pip install -e 'a folder/flashdreams-my-part[test]'",
        "  flashdreams run my-part-demo --output my-part-demo.gif",
        "  pytest 'a folder/flashdreams-my-part'",
        "  flashdreams plugins check flashdreams-my-part",
    ]


def test_the_author_is_named_as_toml(here, capsys):
    import tomllib

    author = 'Ada "Ace" \\ Løvelace\n'
    assert main(["new-plugin", "my-model", "--author", author]) == 0
    project = tomllib.loads((here / "flashdreams-my-model/pyproject.toml").read_text(encoding="utf-8"))
    assert project["project"]["authors"] == [{"name": 'Ada "Ace" \\ Løvelace '}]


@pytest.mark.parametrize(
    ("words", "what"),
    [
        ([], "no name"),
        (["a", "b"], "'a' 'b'"),
        (["a", "--kid", "model"], "'--kid'"),
        (["a", "--kind", "modle"], "'modle'"),
        (["a", "--kind"], "--kind has no value"),
        (["My"], "'My'"),
        (["pocket"], "flashdreams-pocket"),
    ],
)
def test_a_bad_line_writes_nothing(here, capsys, words, what):
    assert main(["new-plugin", *words]) == 2
    told = capsys.readouterr()
    assert (told.out, len(told.err.splitlines())) == ("", 3)
    assert what in told.err
    assert not list(here.iterdir())


def test_what_exists_is_left_alone(here, capsys):
    (here / "flashdreams-my-model").mkdir()
    assert main(["new-plugin", "my-model"]) == 2
    assert "exists already" in capsys.readouterr().err
    assert not list((here / "flashdreams-my-model").iterdir())


def test_a_place_that_cannot_be_written_is_said(here, capsys):
    (here / "file").touch()
    assert main(["new-plugin", "my-model", "--output", "file"]) == 2
    assert "cannot be written" in capsys.readouterr().err


@pytest.mark.skipif(sys.platform == "win32", reason="files cannot be limited in size")
def test_a_disk_that_fills_up_leaves_nothing_half_made(here):
    done = subprocess.run([sys.executable, "-c", LIMITED], capture_output=True, text=True)
    assert done.returncode == 2
    assert "File too large" in done.stderr
    assert not list(here.iterdir())


def test_help_tells_each_kind(capsys):
    assert main(["new-plugin", "--help"]) == 0
    told = capsys.readouterr().out
    assert all(f"\n  {kind} " in told for kind in KINDS)


def test_writing_imports_nothing_heavy(here):
    line = "from flashdreams.cli.main import main; main(['new-plugin', 'my-model'])"
    heavy = "import sys; print(*{'torch', 'numpy'} & sys.modules.keys())"
    done = subprocess.run([sys.executable, "-c", f"{line}; {heavy}"], capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == ""
