"""Every type of the grammar of config fields as a flag, the odd ones included."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pytest

from flashdreams.cli.flags import flags_help, parse_flags
from flashdreams.cli.options import VERBOSE
from flashdreams.errors import ConfigError, FieldTypeError
from flashdreams.infra.config import InstantiateConfig


@dataclass(kw_only=True)
class OddConfig(InstantiateConfig):
    _target: Any = object
    count: int | Literal["auto"] = "auto"
    text: str | list[str] = "x"
    words: list[str] | None = None
    size: tuple[int, int] | None = None
    pairs: list[tuple[int, int]] = field(default_factory=lambda: [(1, 2)])
    spans: dict[str, tuple[int, int]] = field(default_factory=dict)
    axes: list[Literal["x", "y"]] = field(default_factory=list)
    switch: bool | None = None
    level: bool | int = 3
    paths: tuple[Path, ...] = ()
    mixed: tuple[int, str, float] = (1, "a", 2.0)
    choice: Literal[1, 2, "x"] = 1
    rate: float = 3
    anything: Any = None
    verbose: bool = False
    help: str = ""


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("--count 3", 3),
        ("--count auto", "auto"),
        ("--text q", "q"),
        ("--text q r", ["q", "r"]),
        ("--words", []),
        ("--words None", None),
        ("--words a b", ["a", "b"]),
        ("--size None", None),
        ("--size 1 2", (1, 2)),
        ("--pairs 1 2 3 4", [(1, 2), (3, 4)]),
        ("--spans k 1 2", {"k": (1, 2)}),
        ("--axes x y x", ["x", "y", "x"]),
        ("--switch", True),
        ("--no-switch", False),
        ("--switch None", None),
        ("--level", True),
        ("--level 5", 5),
        ("--paths a b", (Path("a"), Path("b"))),
        ("--mixed 1 b 3", (1, "b", 3.0)),
        ("--choice 2", 2),
        ("--choice x", "x"),
        ("--rate 1e-3", 0.001),
        ("--rate 4", 4.0),
        ("--verbose", True),
    ],
)
def test_values(line, value):
    name = line.split()[0].removeprefix("--").removeprefix("no-")
    made = getattr(parse_flags(OddConfig(), line.split(), "prog"), name)
    assert made == value
    assert type(made) is type(value)


@pytest.mark.parametrize(
    "line",
    [
        "--count x",
        "--count=",
        "--size 1",
        "--size 1 x",
        "--pairs 1 2 3",
        "--spans k 1",
        "--axes x z",
        "--switch maybe",
        "--mixed 1 b",
        "--choice 3",
        "--rate",
    ],
)
def test_mistakes_are_typed(line):
    with pytest.raises(FieldTypeError) as caught:
        parse_flags(OddConfig(), line.split(), "prog")
    assert caught.value.what.startswith(line.partition("=")[0].split()[0])


def test_field_of_no_type_is_for_files_only():
    with pytest.raises(ConfigError, match="--anything is Any, which a command line cannot hold"):
        parse_flags(OddConfig(), ["--anything", "1"], "prog")


def test_nothing_given_keeps_even_what_the_grammar_would_convert():
    assert parse_flags(OddConfig(), [], "prog") == OddConfig()


def test_help_of_fields_without_docstrings_and_with_names_of_options(monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    text = flags_help(OddConfig(), "prog", [VERBOSE])
    for part in (
        "--count INT|{auto}",
        "(default: auto)",
        "(default: empty)",
        "(default: 1 2)",
        "(default: 3)",
    ):
        assert part in text
    assert "OddConfig(" not in text
    assert text.count("--verbose") == text.count("--help") == 1
