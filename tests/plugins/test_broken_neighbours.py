"""The command line beside three broken plugins and two that claim one slug."""

import json

import pytest

PLUGIN = """
    from flashdreams.plugins.hookspecs import hookimpl
    from flashdreams.plugins.specs import ComponentSpec, RunnerSpec

    @hookimpl
    def flashdreams_runners():
        return [
            RunnerSpec("twice-claimed", "Claimed.", "{name}:RUNNER"),
            RunnerSpec("{name}-own", "Its own.", "{name}:RUNNER"),
        ]
"""

PLUGIN_BLAMES = [
    "plugin absent (dist-absent 1.0) failed: ModuleNotFoundError: No module named 'no_such_module'",
    "plugin raising (dist-raising 2.0) failed: RuntimeError: no luck today",
    "plugin wrong (dist-wrong 3.0) failed: flashdreams_runners() returned 'pocket', not a list of RunnerSpec",
]
CLASH = (
    "slug twice-claimed is claimed by plugin first (dist-first 4.0) and by plugin second (dist-second 5.0): "
    "none of them has it"
)
SLUG_BLAMES = [
    "slug first-own (dist-first 4.0) failed: AttributeError: module 'first' has no attribute 'RUNNER'",
    "slug second-own (dist-second 5.0) failed: AttributeError: module 'second' has no attribute 'RUNNER'",
    "slug simple-absent (dist-simple 6.0) failed: ModuleNotFoundError: No module named 'gone'",
    "slug simple-raising (dist-simple 6.0) failed: RuntimeError: no luck today",
    "slug simple-wrong (dist-simple 6.0) failed: wrong:WHAT is an int, not a RunnerConfig",
]


@pytest.fixture
def neighbours(site):
    """Installs them all."""
    for name, version in [("first", "4.0"), ("second", "5.0"), ("raising", "2.0"), ("wrong", "3.0")]:
        site.install(f"dist-{name}", f"[flashdreams.plugins]\n{name} = {name}", version)
    site.install("dist-absent", "[flashdreams.plugins]\nabsent = no_such_module")
    site.module("first", PLUGIN.replace("{name}", "first"))
    site.module("second", PLUGIN.replace("{name}", "second"))
    site.module("raising", "raise RuntimeError('no luck today')")
    site.module("wrong", PLUGIN.partition("return")[0] + "return 'pocket'\n\n    WHAT = 3")
    simple = "simple-absent = gone:RUNNER\nsimple-raising = raising:RUNNER\nsimple-wrong = wrong:WHAT"
    site.install("dist-simple", f"[flashdreams.runner_configs]\n{simple}", "6.0", summary="Simple.")
    return site


def test_list_names_each_failed_module_and_lists_the_rest(neighbours):
    listed = neighbours.flashdreams("list")
    assert listed.returncode == 0
    assert listed.stderr.splitlines() == [*PLUGIN_BLAMES, CLASH]
    slugs = [line.split()[0] for line in listed.stdout.splitlines()]
    assert slugs[0] == "SLUG"
    assert {"first-own", "second-own", "simple-absent", "simple-raising", "simple-wrong"} <= set(slugs)
    assert "twice-claimed" not in slugs
    assert next(line for line in listed.stdout.splitlines() if "simple-wrong" in line).endswith("Simple.")


def test_list_check_names_each_culprit(neighbours):
    listed = neighbours.flashdreams("list", "--check")
    assert listed.returncode == 1
    assert listed.stderr.splitlines() == [*PLUGIN_BLAMES, *SLUG_BLAMES, CLASH]


def test_list_as_json_has_it_all(neighbours):
    document = json.loads(neighbours.flashdreams("list", "--json", "--check").stdout)
    assert [fault["blame"] for fault in document["broken"]] == [*PLUGIN_BLAMES, *SLUG_BLAMES]
    assert document["clashes"] == [{"blame": CLASH, "distributions": ["dist-first", "dist-second"]}]
    first = next(runner for runner in document["runners"] if runner["slug"] == "first-own")
    assert first == {
        "slug": "first-own",
        "summary": "Its own.",
        "distribution": "dist-first",
        "version": "4.0",
        "plugin": "first",
        "target": "first:RUNNER",
        "needs": [],
    }


def test_plugins_names_each_culprit(neighbours):
    shown = neighbours.flashdreams("plugins")
    assert shown.returncode == 0
    health = [line.removeprefix("  health      ") for line in shown.stdout.splitlines() if "  health" in line]
    for blame in [*PLUGIN_BLAMES, *SLUG_BLAMES]:
        assert health.count(blame) == 1
    assert health.count(CLASH) == 2
    assert health.count("ok") >= 1
    assert "Traceback" not in shown.stdout
    assert "dist-simple 6.0\n  way in      flashdreams.runner_configs\n" in shown.stdout


def test_plugins_shows_tracebacks(neighbours):
    shown = neighbours.flashdreams("plugins", "-v")
    assert shown.stdout.count("Traceback") == len(PLUGIN_BLAMES) + len(SLUG_BLAMES)
    assert "raise RuntimeError('no luck today')" in shown.stdout


def test_plugins_as_json(neighbours):
    plugins = {
        plugin["distribution"]: plugin
        for plugin in json.loads(neighbours.flashdreams("plugins", "--json").stdout)
    }
    assert plugins["flashdreams-core"]["healthy"]
    assert "scheduler=unipc" in plugins["flashdreams-core"]["components"]
    assert plugins["dist-first"]["slugs"] == ["first-own"]
    assert plugins["dist-first"]["problems"] == [SLUG_BLAMES[0], CLASH]
    assert (plugins["dist-wrong"]["way"], plugins["dist-wrong"]["name"]) == ("flashdreams.plugins", "wrong")
    assert plugins["dist-absent"]["tracebacks"][0].startswith("Traceback")


@pytest.mark.parametrize("command", ["run", "show"])
@pytest.mark.parametrize(("slug", "line"), [("simple-wrong", SLUG_BLAMES[4]), ("twice-claimed", CLASH)])
def test_the_culprit_that_was_asked_for_is_named(neighbours, command, slug, line):
    asked = neighbours.flashdreams(command, slug)
    assert asked.returncode == 2
    assert line in asked.stderr
    assert "Traceback" not in asked.stderr


@pytest.mark.parametrize(
    "line",
    [
        ["--help"],
        ["--version"],
        ["components"],
        ["components", "scheduler", "--json"],
        ["doctor"],
        ["doctor", "--json"],
    ],
)
def test_every_other_command_works(neighbours, line):
    done = neighbours.flashdreams(*line)
    assert (done.returncode, done.stderr) == (0, "")


def test_run_still_offers_the_slugs_that_work(neighbours):
    offered = neighbours.flashdreams("run", "--help")
    assert offered.returncode == 0
    assert "first-own" in offered.stdout
    assert "Traceback" not in offered.stderr


def test_doctor_says_what_cannot_run(neighbours):
    document = json.loads(neighbours.flashdreams("doctor", "--json").stdout)
    assert document["slugs"]["simple-wrong"] == {
        "runs": False,
        "reasons": ["wrong:WHAT is an int, not a RunnerConfig"],
    }
    assert PLUGIN_BLAMES[0] in document["plugins"]["broken"]
