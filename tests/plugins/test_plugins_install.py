"""`flashdreams plugins install` and `uninstall`: real wheels, pip, and an environment of its own."""

import os
import subprocess
import sysconfig
import textwrap
import venv
import zipfile
from pathlib import Path

import pytest

HERE = Path(sysconfig.get_path("purelib"))
HOOKS = """
    from flashdreams.plugins.hookspecs import hookimpl
    from flashdreams.plugins.specs import RunnerSpec

    def runner():
        from flashdreams.infra.runner.config import RunnerConfig
        from flashdreams.testing.toy import toy_pipeline_config

        return RunnerConfig(runner_name="{0}-slug", pipeline=toy_pipeline_config())

    @hookimpl
    def flashdreams_runners():
        return [RunnerSpec("{0}-slug", "A toy.", "{0}:runner")]
"""
POINTS = "[flashdreams.api]\n1.0 = {0}\n\n[flashdreams.plugins]\n{0} = {0}"
WHEEL = "Wheel-Version: 1.0\nGenerator: hand\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
NEVER = "Nothing was changed."


def write_wheel(folder: Path, name: str, version: str = "1.0", requires=(), points="", module=None) -> Path:
    """A wheel of one module, which is named as the distribution with underscores."""
    package = name.replace("-", "_")
    info = f"{package}-{version}.dist-info"
    lines = [f"Name: {name}", f"Version: {version}", *(f"Requires-Dist: {each}" for each in requires)]
    files = {
        f"{package}.py": textwrap.dedent(module or ""),
        f"{info}/METADATA": "\n".join(["Metadata-Version: 2.1", *lines, ""]),
        f"{info}/WHEEL": WHEEL,
        f"{info}/entry_points.txt": textwrap.dedent(points),
    }
    files[f"{info}/RECORD"] = "".join(f"{file},,\n" for file in [*files, f"{info}/RECORD"])
    path = folder / f"{package}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for file, text in files.items():
            archive.writestr(file, text)
    return path


class Environment:
    """An environment that sees what is installed beside pytest, and wheels to install."""

    def __init__(self, folder, beside=HERE):
        self.wheels = folder / "wheels"
        self.wheels.mkdir()
        venv.create(folder / "venv", symlinks=True)
        self.python = folder / "venv/bin/python"
        (self.site,) = (folder / "venv/lib").glob("python*/site-packages")
        # Unlike a line with a folder alone, this also reads what an editable installation left there.
        self.site.joinpath("beside.pth").write_text(f"import site; site.addsitedir({str(beside)!r})\n")

    def wheel(self, *arguments, **options):
        return write_wheel(self.wheels, *arguments, **options)

    def plugin(self, name, version="1.0", requires=(), module=HOOKS):
        package = name.replace("-", "_")
        points, module = POINTS.format(package), module.replace("{0}", package)
        return self.wheel(name, version, requires=requires, points=points, module=module)

    def holds(self, *wheels):
        """Have these installed, without pip, which takes seconds."""
        for wheel in wheels:
            zipfile.ZipFile(wheel).extractall(self.site)

    def flashdreams(self, *arguments):
        """Run the command line; output of both kinds in one, without what pip says."""
        pip = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(self.wheels), "PIP_CONFIG_FILE": os.devnull}
        return subprocess.run(
            [self.python, "-m", "flashdreams", *map(str, arguments)],
            env=os.environ | pip,
            cwd=self.wheels,
            capture_output=True,
            text=True,
        )

    def installed(self):
        return {path.name.partition("-")[0] for path in self.site.glob("*.dist-info")}


@pytest.fixture
def environment(tmp_path):
    pytest.importorskip("pip", reason="there is no pip in this environment")
    return Environment(tmp_path)


def refusal(done):
    """The three parts of an error, and that it is one."""
    assert done.returncode == 2, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    lines = done.stderr.splitlines()
    start = next(n for n, line in enumerate(lines) if line.startswith("error: "))
    return [line.removeprefix("error: ").strip() for line in lines[start:]]


def test_a_plugin_comes_and_goes(environment):
    environment.plugin("plugin-given", requires=["small-library>=2", "flashdreams-core"])
    environment.wheel("small-library", "2.3")

    looked = environment.flashdreams("plugins", "install", "plugin-given", "--dry-run")
    assert looked.returncode == 0, looked.stderr
    rows = [line.split() for line in looked.stdout.splitlines()]
    assert rows[1:] == [
        ["plugin-given", "-", "1.0"],
        ["small-library", "-", "2.3", "required"],
        NEVER.split(),
    ]
    assert environment.installed() == set()

    came = environment.flashdreams("plugins", "install", "plugin-given")
    assert came.returncode == 0, came.stderr
    assert environment.installed() == {"plugin_given", "small_library"}
    assert "plugin-given 1.0\n  plugin      plugin_given\n" in came.stdout
    assert "  slugs       plugin_given-slug\n" in came.stdout
    assert came.stdout.endswith("  health      ok\n")
    assert environment.flashdreams("plugins", "install", "plugin-given").stdout == (
        f"All of it is installed already.\n{NEVER}\n"
    )

    for line in (["--dry-run"], []):
        went = environment.flashdreams("plugins", "uninstall", "Plugin_Given", *line)
        assert went.returncode == 0, went.stderr
        assert went.stdout.splitlines()[1].split() == ["plugin-given", "1.0", "plugin_given-slug"]
        assert (NEVER in went.stdout) == ("plugin_given" in environment.installed()) == bool(line)
    assert environment.installed() == {"small_library"}


def test_what_would_break_an_installed_plugin_is_refused(environment):
    environment.holds(environment.plugin("plugin-given", requires=["small-library<2"]))
    environment.holds(environment.wheel("small-library", "1.0"))
    environment.plugin("plugin-other", requires=["small-library>=2"])
    environment.wheel("small-library", "2.0")

    what, right, step = refusal(environment.flashdreams("plugins", "install", "plugin-other"))
    assert what == "plugin-given 1.0 needs small-library<2, and there would be 2.0."
    assert right.endswith(NEVER)
    assert "Name plugin-given on the line too" in step
    assert environment.installed() == {"plugin_given", "small_library"}

    _, _, step = refusal(environment.flashdreams("plugins", "install", "plugin-other", "--no-deps"))
    assert step.startswith("Let pip install what plugin-other requires: leave out --no-deps;")

    # As it says: pip is asked for both, and a newer version of the one fits the other.
    environment.plugin("plugin-given", "1.1", requires=["small-library"])
    line = ("plugins", "install", "plugin-other", "plugin-given", "--upgrade", "--dry-run")
    both = environment.flashdreams(*line)
    assert both.returncode == 0, both.stderr
    assert [row.split()[:3] for row in both.stdout.splitlines()[1:4]] == [
        ["plugin-given", "1.0", "1.1"],
        ["plugin-other", "-", "1.0"],
        ["small-library", "1.0", "2.0"],
    ]


def test_another_torch_is_refused_unless_it_is_asked_for(environment):
    environment.wheel("torch", "99.0")
    environment.plugin("plugin-given", requires=["torch>=99"])
    what, _, step = refusal(environment.flashdreams("plugins", "install", "plugin-given"))
    assert what.startswith("pip would replace torch ")
    assert what.endswith(" by torch 99.0, which the line does not name.")
    assert "--allow-torch" in step
    for words in (["--allow-torch"], ["torch==99.0"]):
        looked = environment.flashdreams("plugins", "install", "plugin-given", "--dry-run", *words)
        assert looked.returncode == 0, looked.stderr
        assert "99.0" in looked.stdout
    assert environment.installed() == set()


def test_a_plugin_that_does_not_work_is_told(environment):
    wheel = environment.plugin("plugin-given", module="raise RuntimeError('no luck today')")
    came = environment.flashdreams("plugins", "install", wheel)
    assert came.returncode == 1
    assert came.stdout.endswith(
        "health      plugin plugin_given (plugin-given 1.0) failed: RuntimeError: no luck today\n"
    )


def test_what_is_no_plugin_is_told(environment):
    environment.wheel("small-library")
    came = environment.flashdreams("plugins", "install", "small-library")
    assert (came.returncode, came.stdout.splitlines()[-1]) == (0, "None of it adds anything to FlashDreams.")
    what, _, step = refusal(environment.flashdreams("plugins", "uninstall", "small-library"))
    assert what == "small-library is no plugin."
    assert step == "Uninstall it with pip: pip uninstall small-library"


def test_what_cannot_be_resolved_is_told_in_the_words_of_pip(environment):
    done = environment.flashdreams("plugins", "install", "no-such-plugin")
    what, _, step = refusal(done)
    assert what.startswith("pip cannot resolve no-such-plugin: Could not find a version")
    assert "--find-links" in step


def test_what_others_need_stays(environment):
    environment.holds(environment.plugin("plugin-given"))
    environment.holds(environment.plugin("plugin-other", requires=["plugin-given"]))
    what, _, step = refusal(environment.flashdreams("plugins", "uninstall", "plugin-given"))
    assert what == "plugin-given 1.0 is needed by plugin-other 1.0."
    assert step == "Uninstall those first, or with it: name them on the line beside plugin-given."
    assert environment.installed() == {"plugin_given", "plugin_other"}
    went = environment.flashdreams("plugins", "uninstall", "plugin-given", "plugin-other")
    assert (went.returncode, environment.installed()) == (0, set())


def beside_but(folder, leave_out):
    """What is installed beside pytest, but for what ``leave_out`` names."""
    folder.mkdir()
    for path in HERE.iterdir():
        if not leave_out(path.name):
            (folder / path.name).symlink_to(path)
    return folder


def test_without_pip_it_says_what_to_do(tmp_path):
    beside = beside_but(tmp_path / "beside", lambda name: name.startswith("pip"))
    what, _, step = refusal(Environment(tmp_path, beside).flashdreams("plugins", "install", "plugin-given"))
    assert what.startswith("There is no pip in the environment of ")
    assert "-m ensurepip" in step
    assert "uv pip install --python " in step


def test_core_alone_explains_what_to_install(tmp_path):
    def is_plugin(name):
        return name.endswith(".dist-info") and name.startswith("flashdreams_") and "_core-" not in name

    alone = Environment(tmp_path, beside_but(tmp_path / "beside", is_plugin))
    listed = alone.flashdreams("list")
    assert (listed.returncode, listed.stderr) == (0, "")
    assert listed.stdout.startswith("No slug is installed: core brings none.")
    assert "\n    pip install -e flashdreams-plugins/" in listed.stdout
    what, right, step = refusal(alone.flashdreams("run"))
    assert (what, right) == ("No slug was given.", "Nothing is installed that can be run.")
    assert step.endswith("with: flashdreams list")
    assert alone.flashdreams("plugins").stdout.startswith("flashdreams-core ")
