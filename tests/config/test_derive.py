from __future__ import annotations

import copy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from flashdreams.errors import FieldTypeError, FieldValueError, TargetError, UnknownFieldError
from flashdreams.infra.config import InstantiateConfig, copy_config, derive_config
from flashdreams.infra.config.derive import config_from_values


class Thing:
    def __init__(self, config: Any) -> None:
        self.config = config


@dataclass(kw_only=True)
class LensConfig(InstantiateConfig):
    _target: Any = Thing
    focal: float = 35.0
    coatings: list[str] = field(default_factory=lambda: ["mgf2"])

    def __post_init__(self) -> None:
        if self.focal <= 0:
            raise FieldValueError(f"focal is {self.focal}.", "A focal length is above 0.", "Set focal to 35.")


@dataclass(kw_only=True)
class ZoomConfig(LensConfig):
    longest: float = 70.0


@dataclass(kw_only=True)
class SensorConfig(InstantiateConfig):
    _target: Any = Thing
    rows: int


@dataclass(kw_only=True)
class CameraConfig(InstantiateConfig):
    _target: Any = Thing
    lens: LensConfig = field(default_factory=LensConfig)
    spare: LensConfig | None = None
    sensor: SensorConfig | None = None
    lenses: list[LensConfig] = field(default_factory=list)
    size: tuple[int, int] = (480, 832)
    labels: dict[str, int] = field(default_factory=dict)
    folder: Path = Path("shots")
    shutter: float = 0.01
    parsed: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        if self.shutter > self.lens.focal:
            raise ValueError(f"shutter {self.shutter} is slower than {self.lens.focal}")

    @property
    def area(self) -> int:
        return self.size[0] * self.size[1]

    def describe(self) -> str:
        return "a camera"


@dataclass(kw_only=True)
class RigConfig(InstantiateConfig):
    _target: Any = Thing
    camera: CameraConfig = field(default_factory=CameraConfig)
    left: LensConfig = field(default_factory=LensConfig)
    right: LensConfig = field(default_factory=LensConfig)


def message(error_class: type[Exception], base: Any, **changes: Any) -> str:
    before = copy.deepcopy(base)
    with pytest.raises(error_class) as caught:
        derive_config(base, **changes)
    assert base == before
    return str(caught.value)


def test_nested_dicts_change_fields_at_any_depth():
    rig = RigConfig()
    changed = derive_config(rig, camera=dict(lens=dict(focal=50), shutter=1), left=dict(coatings=[]))
    assert changed == RigConfig(
        camera=CameraConfig(lens=LensConfig(focal=50.0), shutter=1.0), left=LensConfig(coatings=[])
    )
    assert type(changed.camera.lens.focal) is float
    assert rig == RigConfig()


def test_the_static_type_is_kept():
    camera: CameraConfig = derive_config(CameraConfig(), shutter=0.5)
    assert type(camera) is CameraConfig


def test_nothing_is_shared_with_base():
    base = RigConfig(camera=CameraConfig(lenses=[LensConfig()], labels={"a": 1}))
    changed = derive_config(base, camera=dict(shutter=1))
    changed.camera.lens.coatings.append("x")
    changed.camera.lenses[0].coatings.append("x")
    changed.camera.labels["b"] = 2
    changed.left.coatings.append("x")
    assert base == RigConfig(camera=CameraConfig(lenses=[LensConfig()], labels={"a": 1}))


def test_nothing_is_shared_with_what_was_passed():
    coatings, lens, labels = ["a"], LensConfig(), {"k": 1}
    changes = dict(lens=dict(coatings=coatings), spare=lens, lenses=[lens], labels=labels)
    changed = derive_config(CameraConfig(), **changes)
    coatings.append("b")
    labels["l"] = 2
    lens.coatings.append("c")
    assert changed == CameraConfig(
        lens=LensConfig(coatings=["a"]), spare=LensConfig(), lenses=[LensConfig()], labels={"k": 1}
    )
    assert changes["lens"] == dict(coatings=["a", "b"])


def test_a_config_that_stands_twice_in_base_changes_only_where_it_is_named():
    lens = LensConfig()
    changed = derive_config(RigConfig(left=lens, right=lens), left=dict(focal=85))
    assert (changed.left.focal, changed.right.focal) == (85.0, 35.0)


def test_no_change_gives_an_equal_copy():
    rig = RigConfig()
    for copied in (derive_config(rig), copy_config(rig)):
        assert copied == rig
        assert copied.camera.lens is not rig.camera.lens


def test_a_dict_for_none_builds_the_one_class_that_fits():
    changed = derive_config(CameraConfig(), spare=dict(focal=50), sensor=dict(rows=8))
    assert changed.spare == LensConfig(focal=50.0)
    assert changed.sensor == SensorConfig(rows=8)
    assert derive_config(CameraConfig(), lenses=[dict(focal=1), ZoomConfig()]).lenses == [
        LensConfig(focal=1.0),
        ZoomConfig(),
    ]


def test_a_dict_for_none_must_give_what_has_no_default():
    text = message(FieldValueError, CameraConfig(), sensor={})
    assert text.startswith("sensor.rows has no value.\nSensorConfig has no default for rows; it takes int.")


def test_a_dict_keeps_the_class_that_is_there():
    changed = derive_config(CameraConfig(lens=ZoomConfig()), lens=dict(focal=24))
    assert changed.lens == ZoomConfig(focal=24.0)


def test_a_config_replaces_where_its_class_fits():
    assert derive_config(CameraConfig(), lens=ZoomConfig()).lens == ZoomConfig()
    text = message(FieldTypeError, CameraConfig(), lens=SensorConfig(rows=1))
    assert text == (
        "lens is SensorConfig(...), of type SensorConfig.\n"
        "It takes LensConfig.\n"
        "Give lens such a value, or a dict of its fields."
    )


def test_an_unknown_field_is_refused_with_its_path_and_nearest_match():
    assert message(UnknownFieldError, RigConfig(), camera=dict(shuter=1)) == (
        "camera.shuter is no field of CameraConfig.\n"
        "Did you mean 'camera.shutter'?\n"
        "Print the config to see its fields."
    )


def test_an_unknown_field_that_lives_deeper_is_found_there():
    assert "Did you mean 'camera.lens.focal'?" in message(UnknownFieldError, RigConfig(), focal=1.0)


def test_an_unknown_field_like_nothing_gets_the_list():
    assert "There are: coatings, focal." in message(UnknownFieldError, LensConfig(), qqq=1)
    assert "7 is no field" in message(UnknownFieldError, CameraConfig(), lens={7: 1})


def test_methods_properties_and_computed_fields_are_refused():
    camera = CameraConfig()
    assert "describe is a method of CameraConfig, not a field." in message(
        UnknownFieldError, camera, describe=1
    )
    assert "setup is a method" in message(UnknownFieldError, camera, setup=1)
    assert "area is a property of CameraConfig, not a field." in message(UnknownFieldError, camera, area=1)
    assert "parsed is no field" in message(UnknownFieldError, camera, parsed=1)


def test_a_wrong_type_says_value_type_and_wanted_type():
    assert message(FieldTypeError, RigConfig(), camera=dict(shutter="1")) == (
        "camera.shutter is '1', of type str.\n"
        "It takes float.\n"
        "Give camera.shutter such a value, without quotes."
    )
    assert "size[1] is 8.5, of type float.\nIt takes int." in message(
        FieldTypeError, CameraConfig(), size=(8, 8.5)
    )
    assert "It takes LensConfig or None." in message(FieldTypeError, CameraConfig(), spare=3)


def test_post_init_runs_again_and_its_error_names_the_place():
    text = message(FieldValueError, RigConfig(), camera=dict(lens=dict(focal=-1)))
    assert text == "camera.lens: focal is -1.0.\nA focal length is above 0.\nSet focal to 35."
    assert message(FieldValueError, LensConfig(), focal=0).startswith("focal is 0.0.")


def test_post_init_of_the_parents_runs_too():
    text = message(FieldValueError, RigConfig(), camera=dict(lens=dict(focal=0.001)))
    assert text.startswith("camera has a bad value: shutter 0.01 is slower than 0.001.\n")
    assert "CameraConfig refuses it with ValueError." in text


def test_target_is_a_class_or_its_name():
    assert derive_config(LensConfig(), _target=int)._target is int
    assert derive_config(LensConfig(), _target="nowhere.at_all:Lens")._target == "nowhere.at_all:Lens"
    assert "lens._target is 3, which is no class." in message(
        TargetError, CameraConfig(), lens=dict(_target=3)
    )
    assert "_target 'Lens' names no class." in message(TargetError, LensConfig(), _target="Lens")
    assert "Did you mean '_target'?" in message(UnknownFieldError, LensConfig(), _targt=int)


def test_only_configs_can_be_derived_from():
    for base in ("pocket-racer", LensConfig):
        with pytest.raises(FieldTypeError, match="Only a config can be derived from"):
            derive_config(base)


def test_plain_and_frozen_dataclasses_nest_too():
    @dataclass(frozen=True)
    class Plain:
        x: int = 1

    assert derive_config(Plain(), x=2) == Plain(x=2)
    assert config_from_values(Plain, {"x": 3}) == Plain(x=3)


def test_a_failing_target_says_how_to_look():
    for target, what in [
        ("nowhere.at_all:Lens", "cannot be imported: No module named 'nowhere'"),
        ("pathlib:Lens", "cannot be imported: module 'pathlib' has no attribute 'Lens'"),
        ("os.path:join", "which is no class"),
    ]:
        with pytest.raises(TargetError, match=what):
            LensConfig(_target=target).setup()
