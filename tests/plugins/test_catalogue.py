"""The catalogue of known slugs."""

import subprocess
import sys
from pathlib import Path

import pytest

from flashdreams.errors import BrokenPluginError, UnknownSlugError
from flashdreams.plugins.blame import Origin
from flashdreams.plugins.catalogue import Known, catalogue
from flashdreams.plugins.installed import Installed
from flashdreams.plugins.registry import Registry

ROOT = Path(__file__).parents[2]


def test_the_catalogue_is_up_to_date():
    script = ROOT / "flashdreams-core/scripts/generate_catalogue.py"
    done = subprocess.run([sys.executable, script, "--check"], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_it_knows_the_slugs_of_this_repository():
    assert catalogue()["pocket-racer"] == Known(
        "flashdreams-pocket", "pip install -e flashdreams-plugins/flashdreams-pocket"
    )


@pytest.fixture
def elsewhere(monkeypatch):
    """A slug of a distribution that is not installed."""
    known = {"far-away-i2v": Known("flashdreams-far", "pip install -e flashdreams-plugins/far")}
    monkeypatch.setattr("flashdreams.plugins.refusals.catalogue", lambda: known)


@pytest.mark.usefixtures("elsewhere")
def test_a_slug_that_is_not_installed_gets_its_install_line():
    with pytest.raises(UnknownSlugError) as raised:
        Registry(Installed()).runner_config("far-away-i2v")
    assert raised.value.what == "There is no slug 'far-away-i2v'."
    assert raised.value.right == "It comes with flashdreams-far, which is not installed."
    assert raised.value.next == (
        "In a clone of FlashDreams: pip install -e flashdreams-plugins/far; "
        "where it is published: pip install flashdreams-far"
    )


@pytest.mark.usefixtures("elsewhere")
def test_a_misspelt_one_too():
    with pytest.raises(UnknownSlugError) as raised:
        Registry(Installed()).runner_config("faraway-i2v")
    assert (
        raised.value.right
        == "Did you mean 'far-away-i2v'? It comes with flashdreams-far, which is not installed."
    )


@pytest.mark.usefixtures("elsewhere")
def test_a_slug_of_a_plugin_that_fails_gets_the_blame():
    failing = {Origin("flashdreams-far", "1.2", "far"): "no_such_module"}
    with pytest.raises(BrokenPluginError) as raised:
        Registry(Installed(failing)).runner_config("far-away-i2v")
    assert raised.value.what == (
        "plugin far (flashdreams-far 1.2) failed: ModuleNotFoundError: No module named 'no_such_module'"
    )
    assert raised.value.right == (
        "The slug 'far-away-i2v' comes with flashdreams-far, which is installed and broken."
    )
    assert raised.value.next == "See the traceback with: flashdreams plugins -v"


def test_another_version_of_an_installed_distribution_is_told(monkeypatch):
    known = {"new-slug": Known("flashdreams-core", "pip install -e flashdreams-core")}
    monkeypatch.setattr("flashdreams.plugins.refusals.catalogue", lambda: known)
    with pytest.raises(UnknownSlugError) as raised:
        Registry(Installed()).runner_config("new-slug")
    assert raised.value.right == "It comes with another version of flashdreams-core than is installed."
    assert raised.value.next == (
        "In an up-to-date clone of FlashDreams: pip install -e flashdreams-core; "
        "where it is published: pip install --upgrade flashdreams-core"
    )
