"""New prompts in mid-rollout, as controls."""

import pytest

from flashdreams.errors import ControlError
from flashdreams.infra import state_tree
from flashdreams_wan.context.config import PromptSwitchEncoderConfig


@pytest.fixture
def encoder():
    return PromptSwitchEncoderConfig().setup()


@pytest.mark.parametrize(
    ("control", "prompts", "recache"),
    [
        ("It rains.", ["It rains."], None),
        ("", [""], None),
        (["It rains."], ["It rains."], None),
        (("a", "b"), ["a", "b"], None),
        ({"prompt": "It rains."}, ["It rains."], None),
        ({"prompt": "It rains.", "recache": True}, ["It rains."], True),
        ({"prompt": ["a", "b"], "recache": False}, ["a", "b"], False),
        ({"prompt": "a", "recache": None}, ["a"], None),
    ],
)
def test_all_ways_to_say_it_come_to_one_form(encoder, control, prompts, recache):
    assert encoder(control) == {"prompts": prompts, "recache": recache}


def test_no_control_is_none(encoder):
    assert encoder(None) is None


@pytest.mark.parametrize(
    "control",
    [
        7,
        True,
        [],
        {},
        [1, 2],
        ["a", None],
        {"prompt": None},
        {"prompt": "a", "recache": 1},
        {"prompt": "a", "recache": "yes"},
        {"prompts": "a"},
        {"prompt": "a", "extra": 1},
        {"recache": True},
    ],
    ids=str,
)
def test_anything_else_is_refused(encoder, control):
    with pytest.raises(ControlError, match="The control is") as error:
        encoder(control)
    assert "It begins to rain" in error.value.next


def test_it_can_be_kept_by_a_rollout(encoder):
    control = encoder(["a", "b"])
    assert state_tree.snapshot(control) == control
