import os
import re
import subprocess
import sys

import pytest

from flashdreams.cli.main import COMMANDS, main_run


def test_version_is_that_of_the_distribution(cli):
    outcome = cli("--version")
    assert outcome.code == 0
    assert re.fullmatch(r"flashdreams \d+\.\d+\.\d+\S*\n", outcome.out)


@pytest.mark.parametrize("argv", [(), ("--help",), ("-h",)])
def test_help_lists_every_command_with_its_summary(cli, argv):
    outcome = cli(*argv)
    assert outcome.code == 0
    for name in (*COMMANDS, "toy-serve"):
        assert re.search(rf"^  {name} +\w", outcome.out, re.MULTILINE)
    assert "Serve toys." in outcome.out


def test_unknown_command_names_the_nearest(cli):
    outcome = cli("shwo")
    assert (outcome.code, outcome.out) == (2, "")
    assert outcome.err.splitlines() == [
        "error: There is no command 'shwo'.",
        "       Did you mean 'show'?",
        "       See them all with: flashdreams --help",
    ]


def test_a_plugin_adds_a_command(cli):
    outcome = cli("toy-serve", "--port", "8")
    assert outcome.code == 5
    assert outcome.out == "command got ['--port', '8']\n"


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_a_help(cli, command):
    outcome = cli(command, "--help")
    assert outcome.code == 0
    assert outcome.out.startswith(f"usage: flashdreams {command}")
    assert all(len(line) <= 80 for line in outcome.out.splitlines())


def test_flashdreams_run_is_run(toys, capsys):
    assert main_run(["toy-16px", "--total-blocks", "2"]) == 0
    assert capsys.readouterr().out == "2 blocks, seed 0\n"


def test_dispatch_imports_only_the_module_of_the_command(toys_path):
    lines = (
        "import sys; from flashdreams.cli.main import main; main(['list'])",
        "print(*sorted(m for m in sys.modules if m.startswith('flashdreams.cli.')))",
    )
    modules = _python("; ".join(lines), toys_path).splitlines()[-1].split()
    assert "flashdreams.cli.list_" in modules
    assert not {f"flashdreams.cli.{name}" for name in ("run", "show", "flags", "doctor")} & set(modules)


def test_help_of_a_slug_imports_neither_torch_nor_numpy(toys_path):
    lines = (
        "import sys; from flashdreams.cli.main import main",
        "from flashdreams.plugins.registry import installed_registry",
        "codes = [main(['run', entry.spec.slug, '--help']) for entry in installed_registry().runners()]",
        "codes += [main(['show', 'toy-16px', '--diff', '--format', 'yaml']), main(['run'])]",
        "print('imported', codes, [m for m in ('torch', 'numpy', 'rich', 'typeguard') if m in sys.modules])",
    )
    out = _python("\n".join(lines), toys_path)
    assert re.search(r"^imported \[(0, )+2\] \[\]$", out, re.MULTILINE)


def test_python_dash_m_exits_with_the_code(toys_path):
    arguments = [sys.executable, "-m", "flashdreams", "run", "toy-16px", "--mode", "no folder"]
    finished = subprocess.run(
        arguments, env=_environment(toys_path), capture_output=True, text=True, check=False
    )
    assert finished.returncode == 2
    assert finished.stderr == "error: There is no folder.\n       A video needs one.\n       Make it.\n"


def test_a_reader_that_leaves_is_no_traceback(toys_path):
    command = f"{sys.executable} -m flashdreams run toy-16px --help | head -n 1"
    finished = subprocess.run(
        command, shell=True, env=_environment(toys_path), capture_output=True, text=True, check=False
    )
    assert finished.stdout.startswith("usage: ")
    assert finished.stderr == ""


def _python(code: str, path: str) -> str:
    arguments = [sys.executable, "-c", code]
    return subprocess.run(
        arguments, env=_environment(path), capture_output=True, text=True, check=True
    ).stdout


def _environment(path: str) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": path}
