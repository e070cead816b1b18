import sys
import types

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flashdreams.errors import PluginNameError
from flashdreams.plugins.registry import installed_registry
from flashdreams.scaffold.kinds import KINDS
from flashdreams.scaffold.names import LONGEST, check_free, checked_names, suggested


def test_everything_is_called_after_one_name():
    names = checked_names("my-model2-x")
    assert (names.distribution, names.package) == ("flashdreams-my-model2-x", "flashdreams_my_model2_x")
    assert (names.class_prefix, names.constant, names.module) == ("MyModel2X", "MY_MODEL2_X", "my_model2_x")
    assert names.title == "My model2 x"


@pytest.mark.parametrize(
    ("name", "right"),
    [
        ("MyModel", "my-model"),
        ("my_model", "my-model"),
        ("my--model-", "my-model"),
        ("3d-model", "my-3d-model"),
        ("./model", "model"),
        ("wan2.1", "wan2-1"),
        ("class", "my-class"),
        ("core", "my-core"),
        ("flashdreams", "my-model"),
        ("flashdreams-model", "model"),
        ("modèle", "mod-le"),
        ("", "my-model"),
        ("a" * (LONGEST + 1), "a" * (LONGEST - 3)),
    ],
)
def test_a_bad_name_is_refused_with_the_right_form(name, right):
    with pytest.raises(PluginNameError) as refused:
        checked_names(name)
    assert f"{name!r}" in refused.value.what
    assert f"Call it {right!r}" in refused.value.next


@given(st.text(max_size=50) | st.from_regex(r"(flashdreams-)*[a-z0-9_-]{0,40}", fullmatch=True))
def test_what_is_suggested_is_a_name(name):
    assert checked_names(suggested(name)).name == suggested(name)


@given(st.from_regex(r"[a-z]([a-z0-9-]{0,12})", fullmatch=True))
def test_names_made_of_a_name_are_names_of_python(name):
    try:
        names = checked_names(name)
    except PluginNameError:
        return
    parts = (names.package, names.module, f"{names.class_prefix}Decoder", names.constant)
    assert all(part.isidentifier() for part in parts)
    assert types.ModuleType(names.package).__name__ not in sys.modules


def taken(name, kind="model"):
    names = checked_names(name)
    with pytest.raises(PluginNameError) as refused:
        check_free(names, KINDS[kind].slug(names), KINDS[kind].component, installed_registry())
    checked_names(refused.value.next.removeprefix("Call yours otherwise: ").removesuffix(", for instance."))
    return refused.value.what


def test_names_that_somebody_has_are_refused():
    assert taken("pocket") == "A distribution flashdreams-pocket is installed."
    assert "that of flashdreams-pocket" in taken("pocket-racer")
    assert taken("null", "encoder") == f"The encoder null is that of {core()}."
    assert "flow-match-euler" in taken("flow-match-euler", "scheduler")


def test_a_component_may_be_called_like_one_of_another_kind():
    names = checked_names("null")
    check_free(names, KINDS["decoder"].slug(names), KINDS["decoder"].component, installed_registry())


def core():
    return next(e.origin for e in installed_registry().components("encoder") if e.spec.name == "null")
