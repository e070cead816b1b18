import importlib.util
import re
import shlex
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "docs" / "generate.py"
PAGE = (SCRIPT.parent / "reference" / "cli.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def generate():
    spec = importlib.util.spec_from_file_location("docs_generate", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(SCRIPT.parent)
        spec.loader.exec_module(module)
    return module


QUICK = ("reference/cli.md", "models/self-forcing-tiny.md", "models/self-forcing-wan2.1-t2v-1.3b-taehv.md")


@pytest.mark.parametrize("name", QUICK)
def test_a_page_is_up_to_date(generate, name):
    assert generate.PAGES[name]() == (generate.HERE / name).read_text(), "write it anew with: nox -s docs"


@pytest.mark.slow
def test_generated_pages_are_up_to_date(generate):
    assert generate.command(["--check"]) == 0, "write them anew with: nox -s docs"


def test_a_stale_page_is_named(generate, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(generate, "HERE", tmp_path)
    monkeypatch.setattr(generate, "PAGES", {QUICK[0]: generate.PAGES[QUICK[0]]})
    assert generate.command(["--check"]) == 1
    assert "docs/reference/cli.md is out of date" in capsys.readouterr().err
    assert generate.command([]) == 0
    assert generate.command(["--check"]) == 0


FLAGS = [
    line
    for row in re.findall(r"^\| (?:a|nothing|another) .*", PAGE, re.MULTILINE)
    for line in re.findall(r"`([^`]+)`", row)
]


@pytest.mark.parametrize("line", FLAGS)
def test_every_flag_of_the_page_can_be_written_so(cli, line):
    outcome = cli("run", "toy-16px", *shlex.split(line), "--print-config")
    assert (outcome.code, outcome.err) == (0, "")


def test_the_page_has_flags_to_test():
    assert len(FLAGS) >= 12


def test_the_file_of_the_page_loads(cli, tmp_path):
    (text,) = re.findall(r"^```yaml\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    file = tmp_path / "file.yaml"
    file.write_text(text.replace("my-slug", "toy-16px"))
    assert "num_inference_steps  8" in re.sub(" {2,}", "  ", cli("show", "--config", str(file)).out)
