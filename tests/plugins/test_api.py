"""The handshake: a plugin that was written for another plugin API is named in one line and never imported."""

import json
import tomllib
from pathlib import Path

import pytest

from flashdreams.plugins.api import API_GROUP, API_VERSION, declared_api, misfit
from flashdreams.plugins.blame import BadPluginError, Origin

ROOT = Path(__file__).parents[2]
PROJECTS = [ROOT / "flashdreams-core", *sorted((ROOT / "flashdreams-plugins").iterdir())]
NEW = (
    "dist-new 4.0 is not used: it was written for plugin API 1.1, and flashdreams-core offers 1.0. "
    "Upgrade flashdreams-core, or install an older dist-new"
)
OLD = (
    "dist-old 0.3 is not used: it was written for plugin API 0.9, and flashdreams-core keeps none older "
    "than 1.0. Upgrade dist-old"
)


@pytest.mark.parametrize(
    ("core", "oldest", "declared", "fits"),
    [
        ("1.0", "1.0", "1.0", True),
        ("1.0", "1.0", None, True),
        ("1.0", "1.0", "1.1", False),
        ("1.0", "1.0", "2.0", False),
        ("1.10", "1.0", "1.9", True),
        ("2.1", "1.4", "1.3", False),
        ("2.1", "1.4", "1.9", True),
        ("2.1", "1.4", None, False),
        ("2.1", "2.0", "1.9", False),
    ],
)
def test_core_offers_the_versions_between_its_oldest_and_its_own(monkeypatch, core, oldest, declared, fits):
    monkeypatch.setattr("flashdreams.plugins.api.API_VERSION", core)
    monkeypatch.setattr("flashdreams.plugins.api.OLDEST_API_VERSION", oldest)
    fault = misfit(Origin("dist", "1.0"), [declared] if declared else [])
    assert (fault is None) == fits


def test_a_declaration_is_one_version():
    assert (declared_api([]), declared_api(["3.14"])) == (None, "3.14")
    for wrong in (["one"], ["1"], ["1.0.0"], ["1.0", "1.1"]):
        with pytest.raises(BadPluginError):
            declared_api(wrong)
        assert misfit(Origin("dist", "1.0"), wrong) is not None


@pytest.mark.parametrize("project", PROJECTS, ids=lambda project: project.name)
def test_every_distribution_of_this_repository_declares_this_api(project):
    points = tomllib.loads((project / "pyproject.toml").read_text())["project"]["entry-points"]
    assert points[API_GROUP] == {API_VERSION: project.name.replace("-", "_").removesuffix("_core")}


@pytest.fixture
def misfits(site):
    """One distribution of each way in for another API, which cannot be imported; and one that fits."""
    site.module("untouchable", "raise SystemExit('imported')")
    hooks = "[flashdreams.plugins]\nnewer = untouchable"
    site.install("dist-new", f"[flashdreams.api]\n1.1 = untouchable\n\n{hooks}", "4.0")
    slug = "[flashdreams.runner_configs]\nold-slug = untouchable:RUNNER"
    more = "old-i2v = untouchable:RUNNER"
    site.install("dist-old", f"[flashdreams.api]\n0.9 = untouchable\n\n{slug}\n{more}", "0.3")
    site.install("dist-fits", f"[flashdreams.api]\n1.0 = fits\n\n{slug.replace('untouchable', 'fits')}")
    return site


def test_list_names_them_in_a_line_each(misfits):
    listed = misfits.flashdreams("list")
    assert listed.stderr.splitlines() == [NEW, OLD]
    # Who is not used claims nothing either.
    assert ["old-slug", "dist-fits"] in [line.split()[:2] for line in listed.stdout.splitlines()]
    assert misfits.flashdreams("list", "--check").returncode == 1


def test_plugins_names_them_with_their_api(misfits):
    plugins = {p["distribution"]: p for p in json.loads(misfits.flashdreams("plugins", "--json").stdout)}
    new, old, fits = (plugins[f"dist-{name}"] for name in ("new", "old", "fits"))
    assert (new["api"], new["name"], new["way"]) == ("1.1", "newer", "flashdreams.plugins")
    assert (old["api"], old["name"], old["way"]) == ("0.9", None, "flashdreams.runner_configs")
    assert (new["problems"], old["problems"]) == ([NEW], [OLD])
    assert new["tracebacks"] == old["tracebacks"] == []
    assert (fits["api"], fits["slugs"]) == ("1.0", ["old-slug"])


def test_a_declaration_that_cannot_be_read_is_told(site):
    site.install("dist-odd", "[flashdreams.api]\nsoon = odd\n\n[flashdreams.plugins]\nodd = odd")
    assert site.flashdreams("list").stderr == (
        "dist-odd 1.0 is not used: it declares the plugin API 'soon', no MAJOR.MINOR such as \"1.0\". "
        "Its authors can correct it in the group flashdreams.api\n"
    )


@pytest.mark.parametrize(
    ("slug", "comes", "blame"), [("newer-t2v", "seems to come", NEW), ("old-i2v", "comes", OLD)]
)
def test_using_a_slug_of_theirs_is_a_version_error(misfits, slug, comes, blame):
    for command in ("run", "show"):
        asked = misfits.flashdreams(command, slug)
        assert asked.returncode == 2, asked.stderr
        lines = [line.removeprefix("error: ").strip() for line in asked.stderr.splitlines()]
        what, right, step = lines[-3:]
        assert f"{what} {step}" == f"{blame}."
        assert right.startswith(f"The slug {slug!r} {comes} with it")
    python = f"""
        import flashdreams, flashdreams.errors
        try:
            flashdreams.config({slug!r})
        except flashdreams.errors.PluginVersionError as error:
            print(error.exit_code)
    """
    misfits.module("asking", python)
    assert misfits.python("asking.py").stdout == "2\n"
