"""What the config system imports, and what it costs."""

from __future__ import annotations

import subprocess
import sys

import pytest

MODULES = [
    "flashdreams.infra.config",
    "flashdreams.infra.config.derive",
    "flashdreams.infra.config.fields",
    "flashdreams.infra.config.types",
    "flashdreams.infra.config.tree",
    "flashdreams.infra.config.diff",
    "flashdreams.infra.config.file",
    "flashdreams.infra.runner",
    "flashdreams.infra.pipeline",
    "flashdreams.infra.encoder.config",
    "flashdreams.infra.decoder.config",
    "flashdreams.infra.diffusion.model",
    "flashdreams.infra.diffusion.scheduler.config",
    "flashdreams.infra.diffusion.transformer.config",
]
USE = """
from flashdreams.infra.config import InstantiateConfig, derive_config
from flashdreams.infra.config.fields import config_fields
base = InstantiateConfig(_target="nowhere:Thing")
print(derive_config(base, _target="nowhere:Other"), [info.doc for info in config_fields(base)])
"""


def imported_after(code: str) -> set[str]:
    code += "\nimport sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


@pytest.mark.parametrize("module", MODULES)
def test_no_module_of_configs_imports_torch_or_numpy(module):
    assert imported_after(f"import {module}").isdisjoint({"torch", "numpy", "yaml", "json", "tyro", "rich"})


def test_using_configs_imports_neither():
    assert imported_after(USE).isdisjoint({"torch", "numpy", "yaml", "json"})


def test_reading_and_writing_files_imports_neither():
    code = "from flashdreams.infra.config.file import dump, parse; parse(dump({'a': 1}))"
    assert imported_after(code).isdisjoint({"torch", "numpy"})
