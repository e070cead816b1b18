"""Reading what is installed, from really installed distributions."""

import json
import sys

import pytest

from flashdreams.plugins.blame import Origin
from flashdreams.plugins.entries import Entry
from flashdreams.plugins.installed import read_installed
from flashdreams.plugins.specs import RunnerSpec

POINTS = """
    [console_scripts]
    x = y:z

    [flashdreams.runner_configs]
    my-slug = my_pkg.config:MY_RUNNER [extra]

    [flashdreams.plugins]
    my-plugin = my_pkg.plugin
"""


@pytest.fixture
def installed(site, monkeypatch):
    """Reads what is installed in the folder alone."""
    monkeypatch.setattr(sys, "path", [str(site.folder)])
    return read_installed


def test_both_groups_are_read(site, installed):
    site.install("My.Dist", POINTS, version="2.1", summary="What it is.")
    found = installed()
    assert found.broken == []
    assert found.plugins == {Origin("My.Dist", "2.1", "my-plugin"): "my_pkg.plugin"}
    spec = RunnerSpec("my-slug", "What it is.", "my_pkg.config:MY_RUNNER")
    assert found.runners == [Entry(spec, Origin("My.Dist", "2.1"))]


def test_a_slug_that_names_no_config_is_blamed_and_the_next_is_read(site, installed):
    site.install("dist", "[flashdreams.runner_configs]\nlost = my_pkg.config\nmy-slug = my_pkg:MY_RUNNER")
    found = installed()
    assert [entry.spec.slug for entry in found.runners] == ["my-slug"]
    assert [fault.blame for fault in found.broken] == [
        "slug lost (dist 1.0) failed: FieldValueError: RunnerSpec.target is 'my_pkg.config'."
    ]


def test_of_two_versions_the_one_on_the_path_first_counts(site, installed, monkeypatch, tmp_path_factory):
    site.install("dist", POINTS, version="2.0")
    older = tmp_path_factory.mktemp("older")
    monkeypatch.setattr(sys, "path", [str(site.folder), str(older)])
    type(site)(older).install("dist", POINTS.replace("my-", "old-"), version="1.0")
    found = installed()
    assert list(found.plugins) == [Origin("dist", "2.0", "my-plugin")]
    assert [(entry.spec.slug, entry.origin.version) for entry in found.runners] == [("my-slug", "2.0")]


def test_damaged_metadata_is_blamed_and_the_rest_is_read(site, installed):
    site.install("good", POINTS)
    site.install("no-equals-sign", "[flashdreams.plugins]\nmy-plugin")
    site.install("nameless", POINTS).joinpath("METADATA").write_text("Version: 1\n")
    site.install("no-text").joinpath("entry_points.txt").write_bytes(b"[flashdreams.plugins]\n\xff\xfe = x")
    found = installed()
    assert [origin.distribution for origin in found.plugins] == ["good"]
    assert [entry.origin.distribution for entry in found.runners] == ["good"]
    blames = sorted(fault.blame for fault in found.broken)
    assert len(blames) == 3
    assert blames[0].startswith("entry_points.txt (no-equals-sign) failed: TypeError")
    assert "failed: METADATA gives no name" in "".join(blames)
    assert "UnicodeDecodeError" in "".join(blames)


def test_the_environment_variable_registers_slugs(installed):
    found = installed(" one = a.b:C , two=d:E,")
    assert [(e.spec.slug, e.spec.target, str(e.origin)) for e in found.runners] == [
        ("one", "a.b:C", "FLASHDREAMS_RUNNER_CONFIGS"),
        ("two", "d:E", "FLASHDREAMS_RUNNER_CONFIGS"),
    ]


@pytest.mark.parametrize("pair", ["slug", "slug=module", "=module:NAME"])
def test_a_malformed_pair_is_blamed(installed, pair):
    (fault,) = installed(pair).broken
    assert fault.blame == (
        f"pair {pair!r} (FLASHDREAMS_RUNNER_CONFIGS) failed: it does not read slug=package.module:NAME"
    )


def test_the_environment_variable_can_clash(site):
    site.install("dist", "[flashdreams.runner_configs]\nmy-slug = a:B")
    shown = site.flashdreams("show", "my-slug", FLASHDREAMS_RUNNER_CONFIGS="my-slug=zoo:RUNNER")
    assert shown.returncode == 2
    assert "slug my-slug is claimed by dist 1.0 and by FLASHDREAMS_RUNNER_CONFIGS: none of them has it." in (
        shown.stderr
    )
    assert "Give it another name in FLASHDREAMS_RUNNER_CONFIGS." in shown.stderr


def test_the_environment_variable_works_without_installation(site):
    site.module("zoo", "from flashdreams.testing.toy import toy_pipeline_config\n")
    listed = site.flashdreams("list", "--json", FLASHDREAMS_RUNNER_CONFIGS="my-slug=zoo:RUNNER,nonsense")
    assert listed.returncode == 0
    assert {r["slug"]: r["distribution"] for r in json.loads(listed.stdout)["runners"]}["my-slug"] == (
        "FLASHDREAMS_RUNNER_CONFIGS"
    )
    assert listed.stderr == (
        "pair 'nonsense' (FLASHDREAMS_RUNNER_CONFIGS) failed: it does not read slug=package.module:NAME\n"
    )
