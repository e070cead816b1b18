from __future__ import annotations

import importlib
import pkgutil
from dataclasses import MISSING, dataclass, field, make_dataclass
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Any, ClassVar

import pytest

import flashdreams.infra
from flashdreams.errors import ConfigError
from flashdreams.infra.config import InstantiateConfig
from flashdreams.infra.config.fields import config_fields, field_defaults, field_values, is_config_class
from flashdreams.infra.config.types import coerce


@dataclass(kw_only=True)
class BaseConfig(InstantiateConfig):
    """The base."""

    _target: Any = "a.b:C"

    width: int = 4
    """Width
    of the tokens."""
    depth: int
    heads: int = 2
    """Heads of the base."""
    kinds: ClassVar[tuple[str, ...]] = ()
    computed: int = field(default=0, init=False)
    int: float = 1.0
    """A field that is called like a type."""
    where: Annotated[Path, "a note"] = Path(".")
    "Docstrings may have one quote."


@dataclass(kw_only=True)
class ChildConfig(BaseConfig):
    sizes: list[str] = field(default_factory=list)
    """
    Left of its class,
too.
    """
    width: float = 8.0
    heads: int = 3
    """Heads of the child."""

    def method(self) -> None:
        """Not a field."""


ELSEWHERE = '''
from __future__ import annotations
from dataclasses import dataclass
from fractions import Fraction as Share

@dataclass(kw_only=True)
class ElsewhereConfig:
    share: Share = Share(1, 2)
    """How much."""
'''


def by_name(config):
    return {info.name: info for info in config_fields(config)}


def test_fields_come_parents_first_without_target_and_what_cannot_be_set():
    names = ["width", "depth", "heads", "int", "where"]
    assert [info.name for info in config_fields(BaseConfig)] == names
    assert [info.name for info in config_fields(ChildConfig(depth=1))] == [*names, "sizes"]


def test_docs_are_looked_up_along_the_mro():
    docs = {name: info.doc for name, info in by_name(ChildConfig).items()}
    assert docs == {
        "width": "Width\nof the tokens.",
        "depth": "",
        "heads": "Heads of the child.",
        "int": "A field that is called like a type.",
        "where": "Docstrings may have one quote.",
        "sizes": "Left of its class,\ntoo.",
    }


def test_docs_of_a_class_inside_a_function():
    @dataclass(kw_only=True)
    class InnerConfig(BaseConfig):
        inner: int = 1
        """Text that stands
further left than its class."""

    assert by_name(InnerConfig)["inner"].doc == "Text that stands\nfurther left than its class."


def test_docs_are_empty_where_there_is_no_source():
    made = make_dataclass("Made", [("x", int, 1)])
    assert [(info.name, info.doc, info.default) for info in config_fields(made)] == [("x", "", 1)]


def test_types_are_those_of_the_class_that_declares():
    types = {name: info.type for name, info in by_name(ChildConfig).items()}
    assert types["width"] is float
    assert types["depth"] is int
    assert types["where"] is Path
    assert types["sizes"] == list[str]
    assert by_name(BaseConfig)["width"].type is int


def test_types_are_resolved_where_they_were_written(tmp_path, monkeypatch):
    (tmp_path / "elsewhere_config.py").write_text(ELSEWHERE)
    monkeypatch.syspath_prepend(tmp_path)
    elsewhere = importlib.import_module("elsewhere_config")

    @dataclass(kw_only=True)
    class HereConfig(elsewhere.ElsewhereConfig):
        more: str = ""

    assert by_name(HereConfig)["share"].type is Fraction
    assert by_name(HereConfig)["share"].doc == "How much."


def test_defaults_are_made_anew():
    info = by_name(ChildConfig)["sizes"]
    info.default.append("x")
    assert info.default == []
    assert by_name(ChildConfig)["depth"].default is MISSING
    assert "depth" not in field_defaults(ChildConfig)
    assert field_defaults(ChildConfig)["_target"] == "a.b:C"
    assert field_values(ChildConfig(depth=2))["depth"] == 2


def test_an_annotation_that_cannot_be_resolved():
    broken = make_dataclass("Broken", [("x", "Nowhere | None", None)])
    (info,) = config_fields(broken)
    with pytest.raises(ConfigError) as caught:
        info.type  # noqa: B018
    assert str(caught.value).startswith("The type 'Nowhere | None' of field Broken.x cannot be resolved")


def our_config_classes():
    for module_info in pkgutil.walk_packages(flashdreams.infra.__path__, "flashdreams.infra."):
        if module_info.name.endswith(".config"):
            module = importlib.import_module(module_info.name)
            yield from (value for value in vars(module).values() if is_config_class(value))


@pytest.mark.parametrize("cls", sorted(set(our_config_classes()), key=lambda cls: cls.__qualname__))
def test_every_field_of_ours_has_a_docstring_and_a_type_that_its_default_fits(cls):
    for info in config_fields(cls):
        assert info.doc, info.name
        assert info.type is not Any
        if info.default is not MISSING:
            assert coerce(info.default, info.type, info.name) == info.default
