import sys
from pathlib import Path

import pytest

from flashdreams.cli.main import main
from flashdreams.infra.config import derive_config
from flashdreams.infra.runner import RunnerConfig
from flashdreams.plugins.registry import installed_registry
from flashdreams.testing.toy import toy_pipeline_config

HERE = Path(__file__).parent
SLUGS = ("toy", "wide", "secretive", "promised", "half", "tiled")


@pytest.fixture
def toy_config():
    """The config of a runner around the toy, with changes to its pipeline, transformer or decoder."""

    def config(*, transformer=None, runner=None, **pipeline):
        changes = dict(pipeline, diffusion_model=dict(transformer=transformer or {}))
        base = RunnerConfig(runner_name="toy", pipeline=toy_pipeline_config(), device="cpu")
        return derive_config(base, pipeline=changes, **(runner or {}))

    return config


@pytest.fixture
def plan_toys(monkeypatch, tmp_path_factory):
    """The module of toys that are planned, each registered as a slug, and their plugin, in this process."""
    info = tmp_path_factory.mktemp("site") / "plan_toys-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: plan-toys\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[flashdreams.plugins]\nplan-toys = plan_toys_plugin\n")
    monkeypatch.syspath_prepend(str(info.parent))
    monkeypatch.syspath_prepend(str(HERE))
    slugs = ",".join(f"{slug}=plan_toys:{slug.upper()}" for slug in SLUGS)
    monkeypatch.setenv("FLASHDREAMS_RUNNER_CONFIGS", slugs)
    installed_registry.cache_clear()
    import plan_toys

    yield plan_toys
    installed_registry.cache_clear()
    sys.modules.pop("plan_toys", None)


@pytest.fixture
def command(plan_toys, capsys):
    """Runs `flashdreams ...` in this process: exit code, stdout, stderr."""

    def run(*words):
        code = main(words)
        return code, *capsys.readouterr()

    return run
