"""The packages of docs/examples: installed from their wheels beside core and pocket-racer, and used."""

import json
import re
import shutil
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
NIGHT, SCOPE = (ROOT / "docs/examples" / f"flashdreams-{name}" for name in ("night-drive", "scope"))
EXAMPLES = (NIGHT, SCOPE)
each = pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.name)


@each
def test_its_wheel_holds_modules_and_licence_and_nothing_else(wheels, example):
    source = example / "src"
    with zipfile.ZipFile(wheels[example.name]) as archive:
        names = set(archive.namelist())
    files = {name for name in names if ".dist-info/" not in name}
    modules = {path.relative_to(source).as_posix() for path in source.rglob("*.py")}
    assert files == modules | {f"{example.name.replace('-', '_')}/py.typed"}
    assert [name for name in names if name.endswith("licenses/LICENSE")]


@each
def test_it_stands_on_its_own(example):
    """It names no path out of its folder, and nothing of the repository names it as a member."""
    outside = [path for path in example.rglob("*") if path.is_symlink()]
    assert outside == []
    workspace = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert example.name not in json.dumps(workspace["tool"]["uv"]) + json.dumps(workspace["project"])
    assert "path =" not in (example / "pyproject.toml").read_text()


def test_an_index_would_take_them(wheels, run_here):
    checked = run_here(
        sys.executable, "-m", "twine", "check", "--strict", *(wheels[e.name] for e in EXAMPLES), cwd=ROOT
    )
    assert checked.count("PASSED") == len(EXAMPLES)


# --- installed


def came_from_wheels(environment, folder):
    """The distributions of FlashDreams in an environment, and whether each came from a local wheel."""
    code = """
        import json
        from importlib import metadata
        found = {}
        for distribution in metadata.distributions():
            if distribution.name.startswith("flashdreams-"):
                url = json.loads(distribution.read_text("direct_url.json") or "{}").get("url", "")
                found[distribution.name] = url.startswith("file://") and url.endswith(".whl")
        print(json.dumps(found))
    """
    folder.joinpath("origins.py").write_text("\n".join(line[8:] for line in code.splitlines()))
    return json.loads(environment.run("python", "origins.py", cwd=folder))


@pytest.mark.slow
def test_they_come_from_their_wheels_alone(racer_environment, tmp_path):
    names = {"flashdreams-core", "flashdreams-pocket", *(example.name for example in EXAMPLES)}
    found = came_from_wheels(racer_environment, tmp_path)
    assert {name: found[name] for name in names} == dict.fromkeys(names, True)


@pytest.mark.slow
def test_the_slugs_of_the_simple_one_run(racer_environment, tmp_path):
    listed = racer_environment.run("flashdreams", "list", cwd=tmp_path)
    assert {"night-drive", "night-drive-moon"} <= {line.split()[0] for line in listed.splitlines()}
    for slug in ("night-drive", "night-drive-moon"):
        racer_environment.run(
            "flashdreams", "run", slug, "--total-blocks", "4", "--output", f"{slug}.gif", cwd=tmp_path
        )
        assert tmp_path.joinpath(f"{slug}.gif").stat().st_size > 0


@pytest.mark.slow
def test_the_parts_of_the_one_with_hooks_are_used(racer_environment, tmp_path):
    run = racer_environment.run
    sheet = run("flashdreams", "contact-sheet", "night-drive", "--chunks", "4", cwd=tmp_path)
    assert sheet == "4 chunks of night-drive in sheet.png\n"
    line = "run pocket-racer --use decoder=latent-view --total-blocks 6 --controls gas*6 --output view.gif"
    assert "is of one colour" not in run("flashdreams", *line.split(), cwd=tmp_path)
    told = run("flashdreams", *line.split(), "--overwrite", "--pipeline.decoder.gain", "0.001", cwd=tmp_path)
    assert re.search(r"WARNING .*The video \(seed 0\) is of one colour", told)


@pytest.mark.slow
@each
def test_its_readme_says_what_works(racer_environment, example, tmp_path):
    """Every command but those that install: its own tests, and the kit from outside, among them."""
    folder = shutil.copytree(example, tmp_path / example.name)
    blocks = re.findall(r"^```sh.*?\n(.*?)^```", (folder / "README.md").read_text(), re.MULTILINE | re.DOTALL)
    lines = [line for block in blocks for line in block.splitlines() if not line.startswith("pip install ")]
    printed = racer_environment.shell("\n".join(lines), folder)
    assert len(re.findall(r"\d+ passed", printed)) == 2  # by pytest, and by `plugins check`
    assert "FAILED" not in printed
