"""Distributions as pip would leave them: a dist-info folder and modules, on the path of a process."""

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from flashdreams.plugins.blame import Origin
from flashdreams.plugins.entries import Entry
from flashdreams.plugins.installed import Installed
from flashdreams.plugins.registry import Registry
from flashdreams.plugins.specs import RunnerSpec

RUNNER = """
    from flashdreams.infra.diffusion.model.config import DiffusionModelConfig
    from flashdreams.infra.diffusion.scheduler.config import FlowMatchSchedulerConfig
    from flashdreams.infra.diffusion.transformer.config import TransformerConfig
    from flashdreams.infra.pipeline.config import StreamInferencePipelineConfig
    from flashdreams.infra.runner.config import RunnerConfig

    def runner(name):
        model = DiffusionModelConfig(transformer=TransformerConfig(), scheduler=FlowMatchSchedulerConfig())
        pipeline = StreamInferencePipelineConfig(name=name, diffusion_model=model)
        return RunnerConfig(runner_name=name, pipeline=pipeline)
"""


class Site:
    """A folder of installed distributions."""

    def __init__(self, folder: Path):
        self.folder = folder

    def module(self, name, text):
        self.folder.joinpath(f"{name}.py").write_text(textwrap.dedent(text))

    def install(self, name, entry_points="", version="1.0", summary="", files=()):
        info = self.folder / f"{name.replace('-', '_')}-{version}.dist-info"
        info.mkdir()
        info.joinpath("METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\nSummary: {summary}\n"
        )
        info.joinpath("entry_points.txt").write_text(textwrap.dedent(entry_points))
        info.joinpath("RECORD").write_text("".join(f"{file},,\n" for file in files))
        return info

    def python(self, *arguments, **variables):
        path = os.pathsep.join([str(self.folder), os.environ.get("PYTHONPATH", "")])
        return subprocess.run(
            [sys.executable, *arguments],
            env=os.environ | {"PYTHONPATH": path, "COLUMNS": "100"} | variables,
            cwd=self.folder,
            capture_output=True,
            text=True,
        )

    def flashdreams(self, *arguments, **variables):
        return self.python("-m", "flashdreams", *arguments, **variables)


@pytest.fixture
def site(tmp_path):
    """A folder of distributions that a subprocess sees beside what is really installed."""
    return Site(tmp_path)


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder whose modules this process can import, and registries of what is declared there."""
    monkeypatch.syspath_prepend(tmp_path)
    before = set(sys.modules)
    yield Here(tmp_path)
    for name in set(sys.modules) - before:
        if getattr(sys.modules[name], "__file__", None) and str(tmp_path) in sys.modules[name].__file__:
            del sys.modules[name]


class Here(Site):
    def registry(self, plugins=(), runners=()):
        """A registry of plugins (name and module) and runners (slug and target), each of `dist-NAME 1.0`."""
        modules = {Origin(f"dist-{name}", "1.0", name): module for name, module in dict(plugins).items()}
        slugs = [
            Entry(RunnerSpec(slug, "", target), Origin(f"dist-{slug}", "1.0"))
            for slug, target in dict(runners).items()
        ]
        return Registry(Installed(modules, slugs))

    def plugin(self, text, name="given"):
        """A registry of one plugin with these hooks."""
        imports = """
            from flashdreams.plugins.hookspecs import hookimpl
            from flashdreams.plugins.specs import CommandSpec, ComponentSpec, RunnerSpec
        """
        self.module(f"{name}_plugin", textwrap.dedent(imports) + textwrap.dedent(text))
        return self.registry(plugins={name: f"{name}_plugin"})

    def runner(self, text, slug="my-slug"):
        """A registry of one slug, whose module has this text after a helper `runner(name)`."""
        self.module("my_runner", textwrap.dedent(RUNNER) + textwrap.dedent(text))
        return self.registry(runners={slug: "my_runner:RUNNER"})
