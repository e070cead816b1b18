# ruff: noqa: UP007, UP045 - both ways to write a union are tested
from __future__ import annotations

import enum
import math
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal, Optional, Union

import pytest

from flashdreams.errors import ConfigError, FieldTypeError
from flashdreams.infra.config.types import coerce, describe, same, short


@dataclass(kw_only=True)
class LeafConfig:
    x: int = 0


@dataclass(kw_only=True)
class TwigConfig(LeafConfig):
    y: int = 0


@dataclass(kw_only=True)
class StoneConfig:
    x: int = 0


class Mode(enum.IntEnum):
    ONE = 1


class Name(str, enum.Enum):  # noqa: UP042 - the older way to write a StrEnum
    ONE = "one"


ACCEPTED = [
    (True, bool, True),
    (3, int, 3),
    (Mode.ONE, int, 1),
    (3, float, 3.0),
    (math.inf, float, math.inf),
    ("x", str, "x"),
    (Name.ONE, str, "one"),
    ("a/b", Path, Path("a/b")),
    (Path("a"), Path, Path("a")),
    (None, type(None), None),
    ("auto", Literal["auto", True, False], "auto"),
    (True, Literal["auto", True, False], True),
    (None, int | None, None),
    (1, float | None, 1.0),
    (1, Union[float, int], 1),
    (1, Union[float, int, bool], 1),
    (True, Union[int, bool], True),
    ("a", Path | None, Path("a")),
    ("a", Union[Path, str], "a"),
    (Path("a"), Union[str, Path], Path("a")),
    ([1, 2], list[float], [1.0, 2.0]),
    ([1, "a"], list, [1, "a"]),
    ([1, 2], tuple[int, ...], (1, 2)),
    ((), tuple[int, ...], ()),
    ([1, "a"], tuple[float, str], (1.0, "a")),
    ([1], Union[tuple[int, ...], list[int]], [1]),
    ((1, "a"), tuple, (1, "a")),
    ({"a": [1]}, dict[str, tuple[float, ...]], {"a": (1.0,)}),
    ({"a": 1}, dict, {"a": 1}),
    (LeafConfig(x=1), LeafConfig, LeafConfig(x=1)),
    (TwigConfig(), LeafConfig | None, TwigConfig()),
    (StoneConfig(), LeafConfig | StoneConfig, StoneConfig()),
    (Fraction(1, 2), Fraction, Fraction(1, 2)),
    ({"anything": {1}}, Any, {"anything": {1}}),
]


@pytest.mark.parametrize(("value", "type", "wanted"), ACCEPTED, ids=lambda value: short(value, 30))
def test_accepted(value, type, wanted):
    assert same(coerce(value, type, "field"), wanted)


REFUSED = [
    (1, bool, "It takes bool."),
    ("true", bool, "It takes bool."),
    (True, int, "It takes int."),
    (1.0, int, "It takes int."),
    (True, float, "It takes float."),
    (10**400, float, "It takes float."),
    ("1.5", float, "It takes float."),
    (1, str, "It takes str."),
    (Path("a"), str, "It takes str."),
    (1, Path, "It takes Path."),
    (0, type(None), "It takes None."),
    (1, Literal["auto", True, False], "It takes 'auto', True or False."),
    ("autom", Literal["auto", True, False], "Did you mean 'auto'?"),
    (1.5, Literal[1, 2], "It takes 1 or 2."),
    ("x", Optional[int], "It takes int or None."),
    ("bloat16", Literal["bfloat16"] | None, "It takes 'bfloat16' or None. Did you mean 'bfloat16'?"),
    ((1,), list[int], "It takes list[int]."),
    ("ab", list[str], "It takes list[str]."),
    ("ab", tuple[str, ...], "It takes tuple[str, ...]."),
    ([1], tuple[int, int], "It takes tuple[int, int]."),
    ([1], dict[str, int], "It takes dict[str, int]."),
    ({"x": 1}, LeafConfig, "It takes LeafConfig."),
    (StoneConfig(), LeafConfig | None, "It takes LeafConfig or None."),
    ("1/2", Fraction, "It takes Fraction."),
]


@pytest.mark.parametrize(("value", "type", "message"), REFUSED, ids=lambda value: short(value, 30))
def test_refused(value, type, message):
    with pytest.raises(FieldTypeError) as caught:
        coerce(value, type, "field")
    assert message in caught.value.right
    assert caught.value.what.startswith("field is ")


@pytest.mark.parametrize(
    ("value", "type", "what"),
    [
        ([1, "2"], list[int], "field[1] is '2', of type str."),
        ([1, "2"], list[int] | None, "field[1] is '2', of type str."),
        ([[1], [2.5]], tuple[list[int], ...], "field[1][0] is 2.5, of type float."),
        ({"a": None}, dict[str, int], "field['a'] is None."),
        ({1: 1}, dict[str, int], "A key of field is 1, of type int."),
    ],
)
def test_the_element_at_fault_is_named(value, type, what):
    with pytest.raises(FieldTypeError) as caught:
        coerce(value, type, "field")
    assert caught.value.what == what


def test_what_to_do_next_fits_the_mistake():
    hints = {int: ("1", "Give field such a value, without quotes."), str: (1, "Give field such a value.")}
    for type, (value, hint) in hints.items():
        with pytest.raises(FieldTypeError) as caught:
            coerce(value, type, "field")
        assert caught.value.next == hint


def test_long_values_are_cut_in_messages():
    with pytest.raises(FieldTypeError) as caught:
        coerce("a" * 500, int, "field")
    assert len(caught.value.what) < 120


def test_a_type_outside_of_the_grammar_is_named():
    with pytest.raises(ConfigError) as caught:
        coerce(len, Callable[[int], int], "hook")
    assert caught.value.what.startswith("hook is declared as Callable[")
    assert "bool, int, float, str, Path" in caught.value.right
    with pytest.raises(ConfigError, match=r"hook is declared as type\[int\]"):
        coerce(int, type[int], "hook")


def test_containers_and_configs_are_copied():
    value, config = {"a": [1]}, LeafConfig()
    copied = coerce(value, dict[str, list[int]], "field")
    copied["a"].append(2)
    coerce(config, LeafConfig, "field").x = 5
    assert (value, config) == ({"a": [1]}, LeafConfig())


def test_a_dict_for_one_of_two_classes_is_ambiguous():
    def build(cls, values, where):
        return cls(**values)

    assert coerce({"x": 1}, LeafConfig | None, "field", build) == LeafConfig(x=1)
    with pytest.raises(FieldTypeError, match="It takes LeafConfig or StoneConfig"):
        coerce({"x": 1}, LeafConfig | StoneConfig, "field", build)


def test_same_tells_equal_numbers_of_other_types_apart():
    assert not same(1, True)
    assert not same(1, 1.0)
    assert not same([1], (1,))
    assert not same({"a": 0}, {"a": False})
    assert not same(LeafConfig(x=1), LeafConfig(x=True))
    assert not same(LeafConfig(), TwigConfig())
    assert same(math.nan, float("nan"))


@pytest.mark.parametrize(
    ("type", "text"),
    [
        (int, "int"),
        (type(None), "None"),
        (float | None, "float or None"),
        (Literal["auto", True, False], "'auto', True or False"),
        (tuple[int, ...], "tuple[int, ...]"),
        (dict[str, list[Path]], "dict[str, list[Path]]"),
        (list[int | None], "list[int or None]"),
    ],
)
def test_types_read_plainly(type, text):
    assert describe(type) == text
