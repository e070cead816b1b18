"""`list`, `components`, `plugins` and `doctor` on a machine where all is well, or nearly."""

import json
import os
import pty
import subprocess
import sys

import pytest

import flashdreams.cli.components
import flashdreams.cli.doctor
import flashdreams.cli.list_
import flashdreams.cli.plugins
from flashdreams.cli import probes
from flashdreams.errors import UsageError

MODULES = {
    "list": flashdreams.cli.list_,
    "components": flashdreams.cli.components,
    "plugins": flashdreams.cli.plugins,
    "doctor": flashdreams.cli.doctor,
}


@pytest.mark.parametrize("command", MODULES)
def test_every_command_has_help(command, capsys):
    assert MODULES[command].main(["--help"]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith(f"usage: flashdreams {command} ")
    assert "--json" in shown


@pytest.mark.parametrize("command", MODULES)
def test_an_unknown_option_is_a_typed_error(command):
    with pytest.raises(UsageError) as raised:
        MODULES[command].main(["--jsn"])
    assert raised.value.what == f"`flashdreams {command}` does not take '--jsn'."
    assert raised.value.right == "Did you mean '--json'?"
    assert raised.value.next == f"See `flashdreams {command} --help`."


@pytest.mark.parametrize("command", ["list", "plugins", "components"])
def test_looking_imports_neither_torch_nor_numpy(site, command):
    script = f"""
import sys
from flashdreams.cli.main import main
code = main([{command!r}])
heavy = {{name.partition(".")[0] for name in sys.modules}} & {{"torch", "numpy", "tyro", "rich", "yaml"}}
print(code, sorted(heavy))
"""
    assert site.python("-c", script).stdout.splitlines()[-1] == "0 []"


def test_importing_the_package_imports_next_to_nothing(site):
    script = "import sys; before = set(sys.modules); import flashdreams; print(*set(sys.modules) - before)"
    loaded = set(site.python("-c", script).stdout.split())
    assert {name for name in loaded if name.startswith("flashdreams")} == {"flashdreams"}
    assert not loaded & {"torch", "numpy", "pluggy", "importlib.metadata"}


def test_list_loads_no_slug_of_the_simple_way(site):
    site.install("dist", "[flashdreams.runner_configs]\nmy-slug = loud:RUNNER", summary="Quiet.")
    site.module("loud", "print('loaded')")
    listed = site.flashdreams("list")
    assert "my-slug" in listed.stdout
    assert listed.stderr == ""
    assert site.flashdreams("list", "--check").stderr.startswith("loaded\n")


@pytest.mark.parametrize("line", [["list"], ["components"], ["plugins"], ["doctor"]])
def test_what_a_plugin_prints_does_not_spoil_json(site, line):
    site.install(
        "dist", "[flashdreams.plugins]\nloud = loud\n[flashdreams.runner_configs]\nmy-slug = loud:RUNNER"
    )
    site.module("loud", "print('loaded')")
    done = site.flashdreams(*line, "--json")
    assert json.loads(done.stdout)
    assert "loaded" in done.stderr


def test_a_row_is_a_line_where_there_is_no_terminal(site):
    site.install("dist", "[flashdreams.runner_configs]\nmy-slug = a:B", summary="Long. " * 50)
    rows = site.flashdreams("list").stdout.splitlines()
    assert any(row.startswith("my-slug") and row.endswith("Long.") and len(row) > 300 for row in rows)


def test_a_table_is_folded_at_the_width_of_a_terminal(site):
    site.install("dist", "[flashdreams.runner_configs]\nmy-slug = a:B", summary="Long. " * 50)
    ours, theirs = pty.openpty()
    environment = os.environ | {"PYTHONPATH": str(site.folder), "COLUMNS": "90"}
    command = [sys.executable, "-m", "flashdreams", "list"]
    subprocess.run(command, env=environment, stdout=theirs, check=True)
    rows = os.read(ours, 1_000_000).decode().splitlines()
    assert "".join(rows).count("Long.") == 50
    assert max(map(len, rows)) <= 90


def test_an_empty_list_says_what_to_do(here, capsys, monkeypatch):
    monkeypatch.setattr(flashdreams.cli.list_, "installed_registry", here.registry)
    assert flashdreams.cli.list_.main([]) == 0
    told = capsys.readouterr().out
    assert told.startswith("No slug is installed: core brings none.")
    assert "  flashdreams-pocket: pocket-racer, pocket-racer-fine\n" in told
    assert "    pip install -e flashdreams-plugins/flashdreams-pocket\n" in told
    assert told.endswith("flashdreams new-plugin my-model\n")


def test_a_plugin_adds_a_command(site):
    site.install("dist", "[flashdreams.plugins]\ngreeter = greeter")
    site.module(
        "greeter",
        """
        from flashdreams.plugins.hookspecs import hookimpl
        from flashdreams.plugins.specs import CommandSpec

        @hookimpl
        def flashdreams_commands():
            return [CommandSpec("greet", "Says hello.", "greeter:main")]

        def main(argv):
            print("hello", *argv)
            return 7
        """,
    )
    greeted = site.flashdreams("greet", "you", "--loudly")
    assert (greeted.returncode, greeted.stdout) == (7, "hello you --loudly\n")
    assert "Says hello." in site.flashdreams("--help").stdout


def test_doctor_finds_another_owner_of_the_import_name(site):
    site.install("flashdreams", version="0.0.1", files=["flashdreams/__init__.py"])
    site.install("dreams-fork", version="0.0.2", files=["flashdreams/__init__.py"])
    found = json.loads(site.flashdreams("doctor", "--json").stdout)["import name"]
    assert found["flashdreams"] == (
        "0.0.1 installs files of the same name over ours: "
        "pip uninstall flashdreams, then install flashdreams-core again"
    )
    assert "dreams-fork" in found
    assert "flashdreams-core" not in found


def test_doctor_survives_a_torch_that_cannot_be_imported(site):
    site.module("torch", "raise OSError('libtorch.so: cannot open shared object file')")
    site.install("dist", "[flashdreams.plugins]\npicky = picky")
    site.module(
        "picky",
        """
        from flashdreams.plugins.hookspecs import hookimpl
        from flashdreams.plugins.specs import RunnerSpec

        @hookimpl
        def flashdreams_runners():
            needs = ("cuda", "no_such_module", "json")
            return [RunnerSpec("picky", "Picky.", "flashdreams.infra.config:NOTHING", needs)]
        """,
    )
    done = site.flashdreams("doctor", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    found = json.loads(done.stdout)
    assert found["devices"] == {"unknown": "OSError: libtorch.so: cannot open shared object file"}
    assert found["machine"]["python"]
    assert found["slugs"]["picky"]["reasons"][:2] == [
        "it is unknown whether there is a cuda device: OSError: libtorch.so: cannot open shared object file",
        "the module no_such_module is not installed",
    ]


def test_doctor_shows_devices_dtypes_and_backends(capsys):
    assert flashdreams.cli.doctor.main([]) == 0
    shown = capsys.readouterr().out
    for title in probes.PROBES:
        assert f"{title}\n" in shown
    assert "unknown" not in shown
    assert "(auto)" in shown
    assert "float32" in shown


@pytest.mark.parametrize(
    ("line", "error"),
    [
        (["install"], "`flashdreams plugins install` was given nothing to install."),
        (["install", "x", "--target=y"], "`flashdreams plugins install` does not take '--target=y'."),
        (["uninstall"], "`flashdreams plugins uninstall` was given no name."),
        (["uninstall", "--all"], "`flashdreams plugins uninstall` was given --all."),
        (["uninstall", "flashdreams_core"], "flashdreams-core is what runs this command."),
        (["uninstall", "flashdreams-poket"], "flashdreams-poket is not installed."),
        (["instal", "x"], "`flashdreams plugins` does not take 'instal'."),
    ],
)
def test_a_line_that_cannot_be_done_is_refused_before_pip_is_asked(capsys, line, error):
    from flashdreams.cli.main import main

    assert main(["plugins", *line]) == 2
    assert capsys.readouterr().err.splitlines()[0] == f"error: {error}"
