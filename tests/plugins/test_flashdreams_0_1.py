"""A plugin that was written for FlashDreams 0.1 is listed and runs as it is."""

import os
from pathlib import Path

import imageio.v3 as imageio
import pytest

from flashdreams.cli.main import main
from flashdreams.plugins.registry import installed_registry

PROJECT = Path(__file__).parent / "flashdreams_0_1"
SLUGS = "comet=comet.config:COMET,comet-long=comet.config:COMET_LONG"
SUMMARY = "Comets, as FlashDreams 0.1 dreamt them."
LISTING = """
    import sys
    from flashdreams.cli.main import main
    main(["list"])
    print({"comet", "torch"} & set(sys.modules))
"""


def picture(path):
    """How many frames of 16 x 16 pixels stand beside one another in a picture."""
    height, width, _ = imageio.imread(path).shape
    assert height == 16
    return width / 16


def test_installed_it_is_listed_without_being_imported_and_runs(site, unpack_wheel):
    unpack_wheel(PROJECT, site.folder)
    site.module("listing", LISTING)
    listed = site.python("listing.py").stdout.splitlines()
    assert [line.split() for line in listed if line.endswith(SUMMARY)] == [
        [slug, "flashdreams-comet", "0.1.3", *SUMMARY.split()] for slug in ("comet", "comet-long")
    ]
    assert listed[-1] == "set()"
    ran = site.flashdreams("run", "comet", "--prompt", "two comets", "--total-blocks", "4")
    assert (ran.stdout, ran.stderr) == ("saved 8 frames to outputs/comet.png\n", "")
    assert picture(site.folder / "outputs/comet.png") == 8


def test_without_installation_it_is_listed_and_runs(site):
    variables = {
        "FLASHDREAMS_RUNNER_CONFIGS": SLUGS,
        "PYTHONPATH": os.pathsep.join([str(PROJECT), os.environ.get("PYTHONPATH", "")]),
    }
    listed = site.flashdreams("list", "--check", **variables)
    assert listed.returncode == 0, listed.stderr
    assert "comet-long" in {line.split()[0] for line in listed.stdout.splitlines()}
    ran = site.flashdreams("run", "comet-long", **variables)
    assert (ran.stdout, ran.stderr) == ("saved 12 frames to outputs/comet-long.png\n", "")


@pytest.fixture
def comet(monkeypatch, tmp_path):
    """Runs the slug in this process and returns the bytes of its picture."""
    monkeypatch.syspath_prepend(str(PROJECT))
    monkeypatch.setenv("FLASHDREAMS_RUNNER_CONFIGS", SLUGS)
    installed_registry.cache_clear()

    def run(*line):
        assert main(["run", "comet", "--output-dir", str(tmp_path), *line]) == 0
        return tmp_path.joinpath("comet.png").read_bytes()

    yield run
    installed_registry.cache_clear()


def test_its_own_fields_and_its_parts_are_flags(comet):
    plain = comet()
    assert comet() == plain
    assert comet("--prompt", "two comets") != plain
    assert comet("--seed", "1") != plain
    assert comet("--pipeline.diffusion-model.scheduler.denoising-timesteps", "1000") != plain
    assert comet("--total-blocks", "1") != plain


def test_its_own_encoder_is_shown_and_derived(comet, capsys):
    assert main(["run", "comet", "--pipeline.encoder.gain", "3.5", "--print-config"]) == 0
    assert ["gain", "3.5"] in [line.split() for line in capsys.readouterr().out.splitlines()]
