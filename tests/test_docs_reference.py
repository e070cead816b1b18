"""Every hook, command, field, error and check is documented; one that is not turns these tests red."""

import dataclasses
import re
import sys
import types
from functools import cache, partial
from pathlib import Path

import pytest

from flashdreams import errors
from flashdreams.cli import main
from flashdreams.deprecation import Deprecation
from flashdreams.infra.config import InstantiateConfig
from flashdreams.testing.contract import Contract

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
REFERENCE = sorted(f"reference/{path.name}" for path in DOCS.glob("reference/*.md"))
PROSE = [
    *(path for path in DOCS.rglob("*.md") if not {"reference", "_build"} & set(path.relative_to(DOCS).parts)),
    ROOT / "README.md",
]


@pytest.fixture(scope="module")
def docs():
    """The module docs/generate.py, and the pages that it writes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(DOCS)
        import generate

        yield generate
    for name in [name for name in sys.modules if name.partition(".")[0] in ("generate", "reference_pages")]:
        del sys.modules[name]


def page(name, **given):
    module = __import__(f"reference_pages.{name}", fromlist=[name])
    return getattr(module, f"{name}_page")(*given.values())


def undocumented():
    from reference_pages.markdown import UndocumentedError

    return UndocumentedError


# --- the pages that are committed are what the code says


def test_every_page_of_the_reference_is_generated(docs):
    assert sorted(name for name in docs.PAGES if name.startswith("reference/")) == REFERENCE


@pytest.mark.parametrize("name", REFERENCE)
def test_a_page_of_the_reference_is_up_to_date(docs, name):
    assert docs.PAGES[name]() == (DOCS / name).read_text(), "write it anew with: nox -s docs"


TAKEN_OUT = {
    "a hook": ("reference/hooks.md", "## flashdreams_rollout_started(rollout)"),
    "a field of a spec": ("reference/hooks.md", "| `needs` |"),
    "a command": ("reference/cli.md", "## flashdreams show"),
    "an action of a command": ("reference/cli.md", "### flashdreams plugins check"),
    "an option": ("reference/cli.md", "  --dry-run "),
    "a variable": ("reference/cli.md", "| `FLASHDREAMS_CACHE` |"),
    "a config": ("reference/config.md", "### RunnerConfig"),
    "a field": ("reference/config.md", "| `total_blocks` |"),
    "a plugin's field": ("reference/config.md", "| `first_frame` |"),
    "an error": ("reference/errors.md", "## ClosedRolloutError"),
    "an attribute of an error": ("reference/errors.md", "| `misshapen` |"),
    "a component": ("reference/components.md", "| `unipc` |"),
    "a contract": ("reference/testing.md", "## PipelineContract"),
    "a check": ("reference/testing.md", "| `test_"),
    "a slug": ("models/index.md", "| [pocket-racer-fine]"),
}


@cache
def written(page):
    """What a page of the reference is when it is written now."""
    return page()


@pytest.mark.parametrize("what", TAKEN_OUT)
def test_a_page_without_it_is_out_of_date(docs, what, tmp_path, monkeypatch):
    name, line = TAKEN_OUT[what]
    lines = (DOCS / name).read_text().splitlines(keepends=True)
    (tmp_path / name).parent.mkdir()
    (tmp_path / name).write_text("".join(each for each in lines if not each.startswith(line)))
    monkeypatch.setattr(docs, "PAGES", {name: partial(written, docs.PAGES[name])})
    assert docs.stale(tmp_path) == [name]


UNSHOWN = {
    "PluginInstallError": "pip and what is installed decide",
    "GraphFaultError": "names a line of torch",
    "DownloadError": "the network and what was fetched before decide",
    "OutputBrokenOffError": "a disk that is full",
    "DeviceMemoryError": "the machine decides",
    "GraphCaptureError": "a card",
    "MissingExtraError": "what is installed decides",
    "ServerRefusedError": "the server's own words",
    "ConnectionLostError": "a network that fails",
}
"""Errors of which the reference shows no example, and why."""


def test_the_reference_shows_what_each_error_says(docs):
    from reference_pages.error_examples import EXAMPLES
    from reference_pages.errors import error_classes

    every = error_classes()
    last = {error.__name__ for error in every if not error.__subclasses__()}
    assert last - EXAMPLES.keys() == UNSHOWN.keys()


def test_an_example_raises_the_error_that_it_is_of(docs, monkeypatch):
    from reference_pages.error_examples import EXAMPLES

    monkeypatch.setitem(EXAMPLES, "ImageError", EXAMPLES["LoraError"])
    with pytest.raises(undocumented(), match="ImageError raises LoraError"):
        page("errors")


# --- what says nothing of itself cannot be written


def hook_without_a_word(rollout): ...


def hook_without_rules(rollout):
    """Something has happened."""


@pytest.mark.parametrize("hook", [hook_without_a_word, hook_without_rules])
def test_a_hook_says_when_it_is_called_and_what_it_may_not_do(docs, hook):
    with pytest.raises(undocumented(), match="flashdreams_new"):
        page("hooks", found={"flashdreams_new": hook})


def test_a_command_says_what_it_does(docs, monkeypatch):
    monkeypatch.setitem(sys.modules, "dumb_command", types.SimpleNamespace(SUMMARY="", main=print))
    with pytest.raises(undocumented(), match="The command dumb"):
        page("cli", commands=main.COMMANDS | {"dumb": "dumb_command"})


@dataclasses.dataclass(kw_only=True)
class DumbConfig(InstantiateConfig):
    """A config."""

    width: int = 1


@dataclasses.dataclass(kw_only=True)
class NamelessConfig(InstantiateConfig):
    width: int = 1
    """Width."""


@pytest.mark.parametrize(("config", "name"), [(DumbConfig, "DumbConfig.width"), (NamelessConfig, "Nameless")])
def test_a_config_and_its_fields_say_what_they_are(docs, config, name):
    with pytest.raises(undocumented(), match=name):
        page("config", classes=[("flashdreams", [config])])


class DumbError(errors.RolloutError): ...


class AttributedError(errors.RolloutError):
    """An error."""

    chunk: int


@pytest.mark.parametrize(
    ("error", "name"), [(DumbError, "DumbError"), (AttributedError, "AttributedError.chunk")]
)
def test_an_error_and_its_attributes_say_what_they_are(docs, error, name):
    module = types.SimpleNamespace(**vars(errors) | {error.__name__: error})
    with pytest.raises(undocumented(), match=name):
        page("errors", module=module)


class DumbContract(Contract):
    """A contract."""

    def test_nothing(self): ...


def test_a_check_says_what_it_promises(docs):
    with pytest.raises(undocumented(), match="DumbContract.test_nothing"):
        page("contracts", found={"DumbContract": DumbContract})


def test_a_deprecation_names_what_to_do_and_when_it_is_gone(docs):
    gone = Deprecation(name="hook flashdreams_x", since="0.2", replacement="use y", gone_in="0.4")
    assert "| hook flashdreams_x | 0.2 | 0.4 | use y |" in page("deprecations", every=[gone])
    with pytest.raises(undocumented(), match="hook flashdreams_x"):
        page("deprecations", every=[dataclasses.replace(gone, replacement="")])


# --- and somebody shows how it is used


def prose():
    return "\n".join(path.read_text(encoding="utf-8") for path in PROSE)


def missing(names, text):
    """The names that no page uses: in a block or between backquotes, as they are typed."""
    return [name for name in names if not re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-])", text)]


def test_every_hook_is_shown_on_a_page():
    from flashdreams.plugins import hookspecs

    hooks = [name for name in vars(hookspecs) if name.startswith("flashdreams_")]
    assert len(hooks) >= 6
    assert missing((f"def {name}" for name in hooks), prose()) == []


def test_every_command_is_shown_on_a_page():
    assert missing((f"flashdreams {name}" for name in main.COMMANDS), " ".join(prose().split())) == []
    assert missing(["flashdreams dumb"], prose()) == ["flashdreams dumb"]


def test_every_contract_is_shown_on_a_page():
    from flashdreams import testing

    contracts = [name for name in testing.__all__ if name != "Contract"]
    assert missing(contracts, (DOCS / "plugins/testing.md").read_text()) == []
