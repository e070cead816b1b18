from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flashdreams.errors import ConfigFileError, FieldTypeError, TargetError, UnknownFieldError
from flashdreams.infra.config import InstantiateConfig, derive_config
from flashdreams.infra.config.fields import config_fields
from flashdreams.infra.config.file import apply_differences, differences, dump, parse, read, resolved
from flashdreams.infra.config.types import same


class Thing:
    pass


@dataclass(kw_only=True)
class LensConfig(InstantiateConfig):
    _target: Any = "nowhere:Lens"
    focal: float = 35.0
    coatings: list[str] = field(default_factory=list)


@dataclass(kw_only=True)
class ZoomConfig(LensConfig):
    longest: float
    adapter: LensConfig | None = None


@dataclass(kw_only=True)
class CameraConfig(InstantiateConfig):
    _target: Any = Thing
    name: str = "box"
    lens: LensConfig = field(default_factory=LensConfig)
    spare: LensConfig | None = None
    others: list[LensConfig] = field(default_factory=list)
    graph: Literal["auto", True, False] = "auto"
    shutter: float = 1e-5
    frames: int | None = None
    size: tuple[int, int] = (480, 832)
    steps: tuple[float, ...] = (1.0, 0.5)
    folder: Path = Path("shots")
    log: Path | None = None
    source: str | Path | Literal[0] = "web"
    mixed: list[int] | tuple[int, ...] | None = None
    labels: dict[str, int | None] = field(default_factory=dict)
    anything: int | float | bool | str | None = None


texts = st.text(st.characters(codec="utf-8"), max_size=8) | st.sampled_from(
    [
        "1e-5",
        "no",
        "on",
        "null",
        "~",
        "1:30",
        "2024-01-01",
        ".inf",
        "0x1f",
        "=",
        "<<",
        "a: b",
        "- x",
        "#",
        "",
        "\x85",
        "a\u2028b",
        "\n",
    ]
)
floats = st.floats(allow_nan=False) | st.sampled_from([1e-5, 1e22, float("inf"), float("-inf"), -0.0, 3])
integers = st.integers() | st.sampled_from([0, 10**30])
paths = texts.filter(lambda text: "\0" not in text).map(Path)
plain_lenses = st.builds(LensConfig, focal=floats.map(float), coatings=st.lists(texts, max_size=3))
zooms = st.builds(
    ZoomConfig,
    focal=floats.map(float),
    longest=floats.map(float),
    adapter=st.none() | plain_lenses,
    _target=st.sampled_from(["nowhere:Lens", "other.place:Zoom", Thing]),
)
lenses = plain_lenses | zooms
changes = st.fixed_dictionaries(
    {},
    optional={
        "name": texts,
        "lens": lenses | st.fixed_dictionaries({}, optional={"focal": floats}),
        "spare": st.none() | lenses | st.builds(dict, focal=floats),
        "others": st.lists(lenses, max_size=2),
        "graph": st.sampled_from(["auto", True, False]),
        "shutter": floats,
        "frames": st.none() | integers,
        "size": st.tuples(integers, integers) | st.just([1, 2]),
        "steps": st.lists(floats, max_size=3),
        "folder": paths,
        "log": st.none() | paths,
        "source": texts | paths | st.just(0),
        "mixed": st.none() | st.lists(integers, max_size=2) | st.tuples(integers),
        "labels": st.dictionaries(texts, st.none() | integers, max_size=3),
        "anything": st.none() | integers | floats | st.booleans() | texts,
        "_target": st.sampled_from(["a.b:C", Thing, LensConfig]),
    },
)
cameras = changes.map(lambda chosen: derive_config(CameraConfig(), **chosen))


@settings(max_examples=150, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(config=cameras, base=cameras, format=st.sampled_from(["yaml", "json"]))
def test_differences_load_back_equal(config, base, format):
    text = dump(differences(config, base), format)
    assert same(apply_differences(base, parse(text, format)), config)


@settings(max_examples=50, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(config=cameras, format=st.sampled_from(["yaml", "json"]))
def test_a_resolved_tree_loads_back_equal(config, format):
    text = dump(resolved(config), format)
    assert same(apply_differences(CameraConfig(), parse(text, format)), config)
    assert list(resolved(config)) == ["_target"] * (config._target is not Thing) + list(
        resolved(CameraConfig())
    )


def test_only_what_differs_is_written():
    config = derive_config(CameraConfig(), lens=dict(focal=50), folder="x", graph=True)
    assert dump(differences(config, CameraConfig())) == ("lens:\n  focal: 50.0\ngraph: true\nfolder: x\n")
    assert json.loads(dump(differences(config, CameraConfig()), "json")) == {
        "lens": {"focal": 50.0},
        "graph": True,
        "folder": "x",
    }
    assert differences(CameraConfig(), CameraConfig()) == {}


def test_a_resolved_tree_shows_every_field_and_the_classes_that_need_saying():
    tree = resolved(CameraConfig(spare=LensConfig(), lens=ZoomConfig(longest=70.0)))
    assert list(tree) == [info.name for info in config_fields(CameraConfig)]
    assert tree["spare"] == {"focal": 35.0, "coatings": []}
    assert tree["lens"]["_class"] == f"{__name__}:ZoomConfig"
    assert tree["folder"] == "shots"


def test_yaml_has_no_aliases():
    coatings = ["a"]
    tree = resolved(CameraConfig(lens=LensConfig(coatings=coatings), spare=LensConfig(coatings=coatings)))
    assert "&" not in dump(tree)


def test_another_class_is_written_by_name():
    config = derive_config(CameraConfig(), spare=ZoomConfig(longest=70.0))
    assert differences(config, CameraConfig()) == {
        "spare": {"_class": f"{__name__}:ZoomConfig", "longest": 70.0}
    }


def test_a_component_is_written_and_found_by_its_registered_name():
    registered = ZoomConfig(longest=70.0, focal=24.0)

    def name_component(where, config):
        return ("zoom", registered) if isinstance(config, ZoomConfig) else None

    def find_component(where, name):
        assert (where, name) == ("spare", "zoom")
        return registered

    config = derive_config(CameraConfig(), spare=derive_config(registered, longest=90))
    tree = differences(config, CameraConfig(), name_component)
    assert tree == {"spare": {"_use": "zoom", "longest": 90.0}}
    assert apply_differences(CameraConfig(), tree, find_component) == config
    assert registered == ZoomConfig(longest=70.0, focal=24.0)
    with pytest.raises(ConfigFileError, match="spare uses the component 'zoom'"):
        apply_differences(CameraConfig(), tree)


def test_applying_leaves_base_and_tree_alone():
    base, tree = CameraConfig(), {"lens": {"coatings": ["a"]}}
    apply_differences(base, tree).lens.coatings.append("b")
    assert (base, tree) == (CameraConfig(), {"lens": {"coatings": ["a"]}})


def test_text_and_path_are_told_apart_where_both_may_stand():
    config = derive_config(CameraConfig(), source=Path("a"), folder="b", mixed=(1,))
    assert differences(config, CameraConfig()) == {
        "folder": "b",
        "source": {"_path": "a"},
        "mixed": {"_tuple": [1]},
    }


def test_hand_written_floats_are_floats():
    tree = parse("shutter: 1e-5\nsteps: [1E3, -2.5e2, 7]\nname: '1e-5'\n")
    config = apply_differences(CameraConfig(), tree)
    assert (config.shutter, config.steps, config.name) == (1e-5, (1000.0, -250.0, 7.0), "1e-5")


def test_an_empty_file_changes_nothing():
    assert parse("") == parse("# nothing\n") == {}


def raises(error_class, tree):
    with pytest.raises(error_class) as caught:
        apply_differences(CameraConfig(), tree)
    return str(caught.value)


def test_unknown_fields_and_wrong_types_name_the_place():
    assert "lens.focl is no field of LensConfig.\nDid you mean 'lens.focal'?" in raises(
        UnknownFieldError, {"lens": {"focl": 1}}
    )
    assert "spare.focal is 'x', of type str." in raises(FieldTypeError, {"spare": {"focal": "x"}})
    assert "3 is no field of CameraConfig." in raises(UnknownFieldError, {3: 1})


def test_an_unknown_marker_gets_its_nearest_match():
    text = raises(UnknownFieldError, {"lens": {"_clas": "x:Y"}})
    assert text.startswith("lens._clas is no field of LensConfig.\nDid you mean 'lens._class'?")


def test_a_marker_that_names_no_config():
    assert "The _class of spare 'nowhere:Y' cannot be imported" in raises(
        TargetError, {"spare": {"_class": "nowhere:Y"}}
    )
    assert "'pathlib:Path', which is no config class." in raises(
        ConfigFileError, {"spare": {"_class": "pathlib:Path"}}
    )
    assert "spare is CameraConfig(...), of type CameraConfig.\nIt takes LensConfig or None." in raises(
        FieldTypeError, {"spare": {"_class": f"{__name__}:CameraConfig"}}
    )


def test_differences_need_one_class():
    with pytest.raises(ConfigFileError, match="A ZoomConfig is compared with a LensConfig"):
        differences(ZoomConfig(longest=1.0), LensConfig())


def test_what_no_file_can_hold_is_named():
    config = LensConfig(focal=2 + 1j)
    with pytest.raises(ConfigFileError, match=r"focal is \(2\+1j\), of type complex, which no file can hold"):
        differences(config, LensConfig())
    with pytest.raises(ConfigFileError, match="labels has the key '_class'"):
        differences(CameraConfig(labels={"_class": 1}), CameraConfig())


def test_files_are_read_by_suffix(tmp_path):
    (tmp_path / "a.run.yaml").write_text("name: ä\n", encoding="utf-8")
    (tmp_path / "b.JSON").write_text('{"name": "ä"}', encoding="utf-8")
    assert read(tmp_path / "a.run.yaml") == read(str(tmp_path / "b.JSON")) == {"name": "ä"}


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("absent.yaml", None, "absent.yaml cannot be read: [Errno 2] No such file or directory"),
        ("folder.yaml", "folder", "folder.yaml cannot be read: [Errno 21] Is a directory"),
        ("binary.yaml", b"\xff\xfe\x00", "binary.yaml cannot be read: 'utf-8' codec can't decode"),
        ("list.yaml", b"- 1\n- 2\n", "list.yaml holds no mapping but [1, 2], of type list."),
        ("text.yaml", b"hello", "text.yaml holds no mapping but 'hello', of type str."),
        ("null.json", b"null", "null.json holds no mapping but None, of type NoneType."),
        ("bad.yaml", b"a: [1,\nb: 2", "bad.yaml is not valid YAML: while parsing a flow"),
        ("tabs.yaml", b"a:\n\tb: 1", "tabs.yaml is not valid YAML: while scanning"),
        ("twice.yaml", b"a: 1\nb: 2\na: 3", "twice.yaml is not valid YAML: a stands twice"),
        ("object.yaml", b"a: !!python/name:os.system", "could not determine a constructor"),
        ("bad.json", b"{'a': 1}", "bad.json is not valid JSON: Expecting property name"),
        ("suffix.toml", b"a = 1", "suffix.toml has the suffix '.toml'.\n"),
        ("bare", b"a: 1", "bare has the suffix ''.\nThere are: .json, .yaml, .yml."),
    ],
)
def test_files_that_cannot_be_used(tmp_path, name, content, message):
    path = tmp_path / name
    if content == "folder":
        path.mkdir()
    elif content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigFileError) as caught:
        read(path)
    assert message in str(caught.value)
