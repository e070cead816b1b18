"""How a runner says what can be steered, and what becomes of what people set."""

import dataclasses
import json
import subprocess
import sys
from types import MappingProxyType

import pytest
import torch

from flashdreams.errors import ControlError, FieldValueError
from flashdreams.infra.runner.base import Runner
from flashdreams.infra.runner.config import RunnerConfig
from flashdreams.infra.runner.steering import Axis, Choice, Steering, Text
from flashdreams.testing.toy import toy_pipeline_config

WHEEL = Axis(name="steer", keys={"ArrowLeft": -0.5, "ArrowRight": 0.5}, pad="left-x")
GAS = Axis(name="gas", low=0.0, keys=MappingProxyType({"ArrowUp": 0.3}))
GEAR = Choice(name="gear", label="Gear", options=("forward", "reverse"), keys={"KeyR": "reverse"})
PROMPT = Text(name="prompt", example="It begins to rain.", longest=20)
ALL = Steering(
    axes=(WHEEL, GAS), choices=(GEAR,), texts=(PROMPT,), prompt=PROMPT, starts=("grid", "bend"), image=True
)


def runner(base=Runner, **methods):
    return type("ToyRunner", (base,), methods)(
        RunnerConfig(runner_name="toy", pipeline=toy_pipeline_config())
    )


def test_values_are_checked_by_name():
    assert ALL.rest == {"steer": 0.0, "gas": 0.0, "gear": "forward"}
    assert ALL.checked({"steer": 1, "gear": "reverse", "prompt": " rain "}) == {
        "steer": 1.0,
        "gear": "reverse",
        "prompt": "rain",
    }
    with pytest.raises(ControlError, match="There is no control 'stear'(.|\n)*steer"):
        ALL.checked({"stear": 0.0})


@pytest.mark.parametrize(
    ("name", "value", "right"),
    [
        ("steer", 1.01, "a number from -1 to 1"),
        ("steer", 10**400, "a number from -1 to 1"),
        ("steer", float("nan"), "a number from -1 to 1"),
        ("steer", float("inf"), "a number from -1 to 1"),
        ("steer", True, "a number from -1 to 1"),
        ("steer", "0.5", "a number from -1 to 1"),
        ("steer", None, "a number from -1 to 1"),
        ("gas", -0.1, "a number from 0 to 1"),
        ("gear", "neutral", "one of: forward, reverse"),
        ("gear", ["reverse"], "one of: forward, reverse"),
        ("prompt", "", "a text of 1 to 20 characters"),
        ("prompt", "  ", "a text of 1 to 20 characters"),
        ("prompt", "r" * 21, "a text of 1 to 20 characters"),
        ("prompt", "half \ud83d", "a text of 1 to 20 characters"),
        ("prompt", 7, "a text of 1 to 20 characters"),
    ],
)
def test_what_a_control_does_not_take(name, value, right):
    with pytest.raises(ControlError) as caught:
        ALL.checked({name: value})
    assert caught.value.right == f"It is {right}."
    assert len(caught.value.what) < 90
    caught.value.what.encode()


@pytest.mark.parametrize(
    ("make", "wrong"),
    [
        (lambda: Axis(name="a", low=1.0, high=1.0), "goes from 1 to 1"),
        (lambda: Axis(name="a", low=-float("inf")), "both finite"),
        (lambda: Axis(name="a", low=float("nan")), "both finite"),
        (lambda: Axis(name="a", rest=2.0), "held at 2"),
        (lambda: Axis(name="a", keys={"KeyA": -2.0}), "held at 0, -2"),
        (lambda: Axis(name="a", pad="left-z"), "driven by 'left-z'"),
        (lambda: Choice(name="c", options=()), "at least one option"),
        (lambda: Choice(name="c", options=("a", "a")), "each once"),
        (lambda: Choice(name="c", options=("a",), keys={"KeyB": "b"}), "keys for no others"),
        (lambda: Text(name="t", longest=0), "at least one"),
        (lambda: Steering(axes=(WHEEL,), texts=(Text(name="steer"),)), "Two controls are called 'steer'"),
        (lambda: Steering(starts=("grid", "grid")), "Two starts are called 'grid'"),
        (lambda: Steering(needs_image=True), "takes none"),
    ],
)
def test_what_a_runner_may_not_say(make, wrong):
    with pytest.raises(FieldValueError, match=wrong):
        make()


def test_the_tree_is_plain_and_says_everything():
    tree = ALL.as_tree()
    assert json.loads(json.dumps(tree, allow_nan=False)) == tree
    assert tree.keys() == {field.name for field in dataclasses.fields(Steering)}
    assert [axis["label"] for axis in tree["axes"]] == ["steer", "gas"]
    assert tree["axes"][1]["keys"] == {"ArrowUp": 0.3}
    assert (tree["choices"][0]["label"], tree["choices"][0]["options"]) == ("Gear", ["forward", "reverse"])
    assert tree["prompt"]["label"] == "prompt"
    assert Steering().as_tree()["prompt"] is None


def test_describing_it_imports_no_torch():
    program = (
        "import flashdreams.infra.runner.steering, sys; assert not {'torch', 'numpy'} & sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_a_runner_that_says_nothing_is_steered_by_its_examples():
    silent = runner()
    assert (silent.steering(), silent.steered({})) == (Steering(), None)
    examples = [None, {"prompt": "rain"}, {"prompt": "rain"}]
    shown = runner(control_examples=lambda self: examples)
    (choice,) = shown.steering().choices
    assert choice.options == ("1: None", "2: {'prompt': 'rain'}", "3: {'prompt': 'rain'}")
    assert shown.steered(shown.steering().rest) is None
    assert shown.steered({"control": choice.options[2]}) is examples[2]


def test_what_steers_a_chunk_by_default():
    pedals = runner(steering=lambda self: Steering(axes=(WHEEL, GAS)))
    assert pedals.steered({"gas": 0.3, "steer": -0.5}) == (-0.5, 0.3)
    wheel = runner(steering=lambda self: Steering(axes=(WHEEL,)))
    assert wheel.steered(wheel.steering().rest) == (0.0,)
    everything = runner(steering=lambda self: ALL)
    assert everything.steered({"steer": 0.0, "gear": "forward"}) == {"steer": 0.0, "gear": "forward"}
    own = Choice(name="control", options=("a", "b"))
    named = runner(steering=lambda self: Steering(choices=(own,)), control_examples=lambda self: [1.0, 2.0])
    assert named.steered({"control": "b"}) == {"control": "b"}


def test_an_opening_is_the_configs_own_unless_something_is_given():
    begun = runner(conditions=lambda self: {"prompts": ["a road"], "seed": 3})
    image = torch.zeros(1, 3, 1, 8, 8)
    assert begun.opening(seed=5) == {"prompts": ["a road"], "seed": 5}
    given = begun.opening(seed=5, prompt="rain", start=image)
    assert given == {"prompts": ["rain"], "seed": 5, "first_frame": image}
    other_name = runner(conditions=lambda self: {"text": "a road"})
    assert other_name.opening(seed=5, prompt="rain") == {"prompts": ["rain"], "seed": 5}


@pytest.mark.parametrize(
    ("code", "hint"),
    [
        ("e", "'KeyE'"),
        ("7", "'Digit7'"),
        ("ArrowUpp", "'ArrowUp'"),
        ("Left", "'ArrowLeft'"),
        ("KeyÄ", "named"),
    ],
)
def test_keys_that_no_browser_knows_are_refused(code, hint):
    for control in (
        lambda: Axis(name="wheel", keys={"KeyQ": -1.0, code: 1.0}),
        lambda: Choice(name="gear", options=("a", "b"), keys={code: "b"}),
    ):
        with pytest.raises(FieldValueError, match=hint) as caught:
            control()
        assert repr(code) in caught.value.what


def test_keys_of_every_kind_are_known():
    codes = ("KeyA", "Digit0", "Numpad5", "NumpadAdd", "F12", "Space", "ShiftLeft", "BracketLeft", "PageUp")
    assert set(Axis(name="wheel", keys=dict.fromkeys(codes, 1.0)).keys) == set(codes)
