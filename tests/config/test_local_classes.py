"""Configs defined inside functions, with annotations as text."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from flashdreams.errors import ConfigError, FieldTypeError, TargetError
from flashdreams.infra.config import InstantiateConfig, derive_config
from flashdreams.infra.config.diff import apply_differences, differences, resolved
from flashdreams.infra.config.fields import config_fields


def local_classes():
    @dataclass(kw_only=True)
    class PartConfig(InstantiateConfig):
        _target: type[Part] = field(default_factory=lambda: Part)
        width: int = 4

    class Part:
        def __init__(self, config: PartConfig) -> None:
            self.config = config

    @dataclass(kw_only=True)
    class WholeConfig(InstantiateConfig):
        _target: type[NowhereAtAll] = field(default_factory=lambda: Part)  # noqa: F821
        part: PartConfig = field(default_factory=PartConfig)
        size: float = 1.0
        other: InstantiateConfig | None = None

    return PartConfig, WholeConfig


def test_the_annotation_of_target_is_never_evaluated():
    _, whole_config = local_classes()
    assert [info.name for info in config_fields(whole_config)] == ["part", "size", "other"]
    assert derive_config(whole_config(), size=2).size == 2.0


def test_a_nested_config_of_a_local_class_takes_a_dict():
    part_config, whole_config = local_classes()
    changed = derive_config(whole_config(), part=dict(width=8))
    assert changed.part == part_config(width=8)
    assert changed.setup().config is changed


def test_types_are_checked_beside_an_annotation_that_cannot_be_resolved():
    _, whole_config = local_classes()
    with pytest.raises(FieldTypeError, match=r"size is 'big', of type str\.\nIt takes float\."):
        derive_config(whole_config(), size="big")
    with pytest.raises(FieldTypeError, match=r"part\.width is None\.\nIt takes int\."):
        derive_config(whole_config(), part=dict(width=None))


def test_an_annotation_that_cannot_be_resolved_is_named_only_when_it_is_needed():
    part_config, whole_config = local_classes()
    with pytest.raises(ConfigError) as caught:
        derive_config(whole_config(), part=part_config())
    assert "WholeConfig.part cannot be resolved: name 'PartConfig' is not defined." in caught.value.what
    assert __name__ in caught.value.right
    assert "not inside a function" in caught.value.next


def test_differences_within_local_classes_load_back():
    _, whole_config = local_classes()
    changed = derive_config(whole_config(), part=dict(width=8), size=3)
    assert differences(changed, whole_config()) == {"part": {"width": 8}, "size": 3.0}
    assert apply_differences(whole_config(), resolved(changed)) == changed


def test_another_local_class_cannot_be_loaded_by_name():
    part_config, whole_config = local_classes()
    tree = differences(derive_config(whole_config(), other=part_config()), whole_config())
    with pytest.raises(TargetError) as caught:
        apply_differences(whole_config(), tree)
    assert "The _class of other" in caught.value.what
    assert "inside a function has no such name" in caught.value.next
