from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from flashdreams.infra.config import InstantiateConfig, derive_config


class Lens:
    pass


@dataclass(kw_only=True)
class LensConfig(InstantiateConfig):
    _target: Any = field(default_factory=lambda: Lens)
    focal: float = 35.0


@dataclass(kw_only=True)
class CameraConfig(InstantiateConfig):
    _target: Any = "nowhere.cameras:Camera"
    name: str = "box"
    lens: LensConfig = field(default_factory=LensConfig)
    spare: LensConfig | None = None
    stack: list[LensConfig] = field(default_factory=list)
    sigmas: list[float] = field(default_factory=lambda: [1.0, 0.5])
    folder: Path = Path("a/b")


def test_a_config_prints_as_an_aligned_tree():
    assert str(CameraConfig()) == (
        "CameraConfig\n"
        "  name     'box'\n"
        "  lens     LensConfig\n"
        "    focal  35.0\n"
        "  spare    None\n"
        "  stack    []\n"
        "  sigmas   [1.0, 0.5]\n"
        "  folder   'a/b'"
    )


def test_another_target_is_shown():
    assert "_target  'x.y:Z'" in str(derive_config(LensConfig(), _target="x.y:Z"))
    assert "_target  int" in str(derive_config(LensConfig(), _target=int))
    assert "_target" not in str(LensConfig())


def test_lists_of_configs_are_numbered():
    text = str(CameraConfig(stack=[LensConfig(), LensConfig(focal=50.0)]))
    assert (
        "  stack      list of 2\n    [0]      LensConfig\n      focal  35.0\n    [1]      LensConfig" in text
    )


def test_long_values_are_shortened():
    lines = str(CameraConfig(sigmas=[i / 100 for i in range(100)], name="x" * 1000)).splitlines()
    assert lines[6] == "  sigmas   [0.0, 0.01, 0.02, ..., 0.99]  (100 items)"
    assert max(map(len, lines)) < 110


def test_repr_stays_that_of_dataclasses():
    assert repr(LensConfig(_target="a:B")) == "LensConfig(_target='a:B', focal=35.0)"


def test_configs_are_equal_by_value():
    assert CameraConfig() == CameraConfig()
    assert CameraConfig() != derive_config(CameraConfig(), lens=dict(focal=50))
