"""What a type checker makes of configs."""

from __future__ import annotations

import subprocess
import sys

import pytest

pytest.importorskip("mypy")

PROGRAM = """
from dataclasses import dataclass, field
from typing import assert_type
from flashdreams.infra.config import InstantiateConfig, copy_config, derive_config

@dataclass(kw_only=True)
class MyConfig(InstantiateConfig):
    _target: type["My"] = field(default_factory=lambda: My)
    width: int = 4

class My:
    def __init__(self, config: MyConfig) -> None: ...

assert_type(derive_config(MyConfig(), width=8), MyConfig)
assert_type(copy_config(MyConfig(width=8)), MyConfig)
derive_config("no config")
MyConfig(widht=8)
"""


@pytest.mark.slow
def test_derive_config_keeps_the_static_type(tmp_path):
    (tmp_path / "program.py").write_text(PROGRAM)
    command = [sys.executable, "-m", "mypy", "--strict", "--no-error-summary", "--hide-error-context"]
    done = subprocess.run(
        [*command, "--cache-dir", str(tmp_path / "cache"), "--follow-imports=silent", "program.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    errors = [line for line in done.stdout.splitlines() if ": error:" in line]
    assert len(errors) == 2, done.stdout + done.stderr
    assert '"derive_config" cannot be "str"' in errors[0]
    assert 'Unexpected keyword argument "widht"' in errors[1]
