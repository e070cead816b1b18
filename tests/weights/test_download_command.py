"""``flashdreams download`` and ``--offline``, on a slug whose weights a server on this machine has."""

import hashlib
import json
import os
import subprocess
import sys

import pytest

from flashdreams.cli.main import main
from flashdreams.plugins.registry import installed_registry

WEIGHTS = bytes(range(256)) * 5000
MODULE = '''
from dataclasses import dataclass
from typing import Any

from flashdreams.infra.config import InstantiateConfig
from flashdreams.infra.diffusion.model.config import DiffusionModelConfig
from flashdreams.infra.diffusion.scheduler.config import FlowMatchSchedulerConfig
from flashdreams.infra.diffusion.transformer.config import TransformerConfig
from flashdreams.infra.pipeline.config import StreamInferencePipelineConfig
from flashdreams.infra.runner.config import RunnerConfig
from flashdreams.io.lock import references_in


@dataclass(kw_only=True)
class Transformer(TransformerConfig):
    """A transformer with published weights."""

    weights: str = "{package}:dit"
    """Its weights."""
    tables: str = "{package}:tables"
    """Its tables."""

    def weight_references(self) -> list[str]:
        """References that it needs."""
        return references_in(self.weights, self.tables)


@dataclass(kw_only=True)
class Run(RunnerConfig):
    """Fetches the weights and says so."""

    _target: Any = "{package}.slug:Runner"


class Runner:
    def __init__(self, config):
        self.config = config

    def run(self):
        from flashdreams.io.hub import resolve_weights

        for text in self.config.pipeline.diffusion_model.transformer.weight_references():
            print("runs with", resolve_weights(text).name)


model = DiffusionModelConfig(transformer=Transformer(), scheduler=FlowMatchSchedulerConfig())
SLUG = Run(runner_name="locked", pipeline=StreamInferencePipelineConfig(name="locked", diffusion_model=model))
'''
WEIGHTS_FLAG = "--pipeline.diffusion-model.transformer.weights"


def sha256(content):
    return hashlib.sha256(content).hexdigest()


@pytest.fixture
def slug(hub, package, tmp_path, monkeypatch, capsys):
    """The slug ``locked``: a file on the hub and two at plain addresses. Gives the name of its package."""
    hub.add("owner/model", {"dit.bin": WEIGHTS}, large={"dit.bin"})
    hub.plain |= {"a.json": b"{}", "b.json": b"[1]"}
    files = {"a.json": {}, "b.json": {"sha256": sha256(b"[1]"), "bytes": 3}}
    name = package(
        {
            "dit": {"repo": "owner/model", "revision": None, "licence": "mit", "files": {"dit.bin": {}}},
            "tables": {"url": f"{hub.url}/plain", "licence": None, "files": files},
        }
    )
    (tmp_path / "site" / name / "slug.py").write_text(MODULE.replace("{package}", name))
    monkeypatch.setenv("FLASHDREAMS_RUNNER_CONFIGS", f"locked={name}.slug:SLUG")
    installed_registry.cache_clear()
    yield name
    installed_registry.cache_clear()


@pytest.fixture
def run(capsys):
    def line(*argv):
        code = main(argv)
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return line


def test_a_dry_run_shows_all_of_it_and_fetches_nothing(slug, hub, run):
    code, out, _ = run("download", "locked", "--dry-run")
    assert code == 0
    assert out.splitlines()[:-1] == [
        "locked needs:",
        f"  {slug}:dit from owner/model@c0ffee00c0ff (mit)",
        "         1.28 MB  to fetch  dit.bin *",
        f"  {slug}:tables from {hub.url}/plain (licence not known)",
        "         2 bytes  to fetch  a.json *",
        "         3 bytes  to fetch  b.json",
        "* No lock file tells its SHA-256 yet: the first download is trusted, later ones must match it.",
        "To fetch: 1.28 MB.",
    ]
    assert out.splitlines()[-1].startswith("Free in ")
    assert hub.downloads() == []


def test_all_of_it_is_shown_and_then_fetched(slug, run, hub):
    code, out, err = run("download", "locked")
    assert code == 0
    assert "to fetch  dit.bin *" in out
    assert f"the SHA-256 of dit.bin of {slug}:dit yet: {sha256(WEIGHTS)} is trusted" in err
    assert "b.json of" not in err
    before = list(hub.requests)
    code, out, _ = run("download", "locked")
    assert code == 0
    assert "         1.28 MB  here      dit.bin\n" in out
    assert out.endswith("All of it is here: 1.28 MB.\n")
    assert run("download", "locked", "--offline")[0] == 0
    assert run("run", "locked", "--offline") == (0, "runs with dit.bin\nruns with tables\n", "")
    assert hub.requests == before


def test_flags_change_what_is_needed(slug, run, tmp_path):
    (tmp_path / "own.bin").touch()
    _, out, _ = run("download", "locked", "--dry-run", WEIGHTS_FLAG, str(tmp_path / "own.bin"))
    assert f"{slug}:tables" in out
    assert "dit" not in out
    tables = "--pipeline.diffusion-model.transformer.tables"
    code, out, _ = run("download", "locked", WEIGHTS_FLAG, "random", tables, "random")
    assert (code, out) == (0, "locked needs no download.\n")


def test_json(slug, run):
    code, out, _ = run("download", "locked", "--dry-run", "--json")
    dit, tables = json.loads(out)["entries"]
    assert code == 0
    assert dit["reference"] == f"{slug}:dit"
    assert (dit["repo"], dit["licence"], dit["path"]) == ("owner/model", "mit", None)
    assert dit["files"] == [
        {"path": "dit.bin", "bytes": len(WEIGHTS), "sha256": sha256(WEIGHTS), "pinned": False, "here": None}
    ]
    assert [file["pinned"] for file in tables["files"]] == [False, True]
    dit, _ = json.loads(run("download", "locked", "--json")[1])["entries"]
    assert dit["path"].endswith("dit.bin")


def test_a_source_that_does_not_answer(slug, run, hub):
    hub.repos["owner/model"].denies = "GatedRepo"
    code, out, err = run("download", "locked", "--dry-run")
    assert code == 0
    assert "    size unknown  to fetch  dit.bin *" in out
    assert "To fetch: 5 bytes and 1 file of unknown size." in out
    assert "its owner asks who you are" in err
    code, out, err = run("download", "locked")
    assert code == 2
    assert "locked needs:" in out
    assert "log in with `hf auth login`, then: flashdreams download locked" in err
    assert hub.downloads() == []


def test_room_for_all_of_it_is_asked_for_first(slug, run, hub):
    hub.claims["dit.bin"] = 10**18
    code, _, err = run("download", "locked")
    assert code == 2
    assert "1000000000.00 GB are to be fetched to" in err
    assert hub.downloads() == []


def test_offline(slug, run, hub):
    code, out, err = run("download", "locked", "--offline")
    assert code == 2
    assert "    size unknown  to fetch  dit.bin *" in out
    assert f"dit.bin of owner/model@main ({slug}:dit) is not on this machine." in err
    assert run("download", "locked", "--offline", "--dry-run")[0] == 0
    code, out, err = run("run", "locked", "--offline")
    assert (code, out) == (2, "")
    assert "Connect to the network, then: flashdreams download locked" in err
    assert hub.requests == []


def test_a_run_fetches_what_it_needs(slug, run):
    code, out, _ = run("run", "locked")
    assert (code, out) == (0, "runs with dit.bin\nruns with tables\n")


def test_in_its_own_process_without_torch(slug, hub, tmp_path):
    """The library reads its variables itself; nothing is patched here."""
    code = (
        "import sys; from flashdreams.cli.main import main; code = main(sys.argv[1:]);"
        "print([name for name in ('torch', 'numpy') if name in sys.modules]); sys.exit(code)"
    )
    variables = {
        "HF_ENDPOINT": hub.url,
        "HF_HOME": str(tmp_path / "home"),
        "PYTHONPATH": str(tmp_path / "site"),
    }

    def download(**more):
        return subprocess.run(
            [sys.executable, "-c", code, "download", "locked"],
            env={**os.environ, **variables, **more},
            capture_output=True,
            text=True,
            check=False,
        )

    offline = download(HF_HUB_OFFLINE="1")
    assert (offline.returncode, hub.requests) == (2, [])
    assert "Offline, nothing is fetched." in offline.stderr
    done = download()
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("[]\n")
    (file,) = (tmp_path / "home").rglob("snapshots/*/dit.bin")
    assert file.read_bytes() == WEIGHTS
