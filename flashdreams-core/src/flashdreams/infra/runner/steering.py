"""How people steer a model: what a page or a client needs to know to offer it. No torch here."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, TypeAlias

from flashdreams.errors import ControlError, FieldValueError, did_you_mean
from flashdreams.infra.runner.key_codes import check_codes

Value: TypeAlias = float | str
"""What a control is set to: the number of an axis, the option of a choice, or a text."""

PAD_AXES = ("left-x", "left-y", "right-x", "right-y", "left-trigger", "right-trigger")
"""Axes of a gamepad, as the W3C's standard mapping lays them out; sticks in [-1, 1], triggers in [0, 1]."""

_SHOWN = 60
"""Characters of a wrong value that an error quotes."""


@dataclass(frozen=True, kw_only=True)
class Axis:
    """A number that is held until it is changed: a wheel, a pedal, a camera's turn.

    Raises:
        FieldValueError: Its numbers are not finite and in order, or there is no such key or pad axis.
    """

    name: str
    label: str = ""
    """What people read; the name where it is left out."""
    low: float = -1.0
    high: float = 1.0
    rest: float = 0.0
    """Its value while nothing is pressed."""
    keys: Mapping[str, float] = field(default_factory=dict)
    """The value that each key holds it at while it is pressed. Keys are named by their place, as in the
    browser's ``KeyboardEvent.code``: ``{"ArrowLeft": -0.5, "KeyA": -0.5}``."""
    pad: str | None = None
    """The axis of a gamepad that drives it, one of ``PAD_AXES``."""

    def __post_init__(self) -> None:
        check_codes(self.name, self.keys)
        held = (self.rest, *self.keys.values())
        is_range = math.isfinite(self.low) and math.isfinite(self.high) and self.low < self.high
        if not (is_range and all(self.low <= value <= self.high for value in held)):
            raise FieldValueError(
                f"The axis {self.name!r} goes from {self.low:g} to {self.high:g} and is held at "
                f"{', '.join(f'{value:g}' for value in held)}.",
                "Low lies below high, both finite, and rest and the values of keys between them.",
                "Correct the axis in the runner's steering().",
            )
        if self.pad is not None and self.pad not in PAD_AXES:
            raise FieldValueError(
                f"The axis {self.name!r} is driven by {self.pad!r}.",
                did_you_mean(self.pad, PAD_AXES),
                "Correct the axis in the runner's steering().",
            )

    def checked(self, value: Any) -> float:
        """The number.

        Raises:
            ControlError: It is no finite number, or out of range.
        """
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if is_number and self.low <= value <= self.high:
            return float(value)
        raise _no_value(self.name, value, f"It is a number from {self.low:g} to {self.high:g}.")


@dataclass(frozen=True, kw_only=True)
class Choice:
    """One of a few things, held until it is changed: a gear, an action.

    Raises:
        FieldValueError: It has no options, one of them twice, or a key for another; or there is no such key.
    """

    name: str
    label: str = ""
    """What people read; the name where it is left out."""
    options: tuple[str, ...]
    """What it can be; the first is what it rests at."""
    keys: Mapping[str, str] = field(default_factory=dict)
    """The option that each key holds it at while it is pressed, keys as for an axis."""

    def __post_init__(self) -> None:
        check_codes(self.name, self.keys)
        known = {*self.options}
        if not known or len(known) < len(self.options) or not known.issuperset(self.keys.values()):
            raise FieldValueError(
                f"The choice {self.name!r} has the options {list(self.options)} and keys for "
                f"{sorted({*self.keys.values()})}.",
                "It has at least one option, each once, and keys for no others.",
                "Correct the choice in the runner's steering().",
            )

    @property
    def rest(self) -> str:
        """Its option while nothing is pressed."""
        return self.options[0]

    def checked(self, value: Any) -> str:
        """The option.

        Raises:
            ControlError: There is none of that name.
        """
        if isinstance(value, str) and value in self.options:
            return value
        raise _no_value(self.name, value, f"It is one of: {', '.join(self.options)}.")


@dataclass(frozen=True, kw_only=True)
class Text:
    """Words that take effect once, at the chunk that comes next, and last: a prompt.

    Raises:
        FieldValueError: It may have no characters at all.
    """

    name: str
    label: str = ""
    """What people read; the name where it is left out."""
    example: str = ""
    """What somebody might write."""
    longest: int = 2000
    """Characters that it may have."""

    def __post_init__(self) -> None:
        if self.longest < 1:
            raise FieldValueError(
                f"The text {self.name!r} may have {self.longest} characters.",
                "It may have at least one.",
                "Correct the text in the runner's steering().",
            )

    def checked(self, value: Any) -> str:
        """The text, without space around it.

        Raises:
            ControlError: It is no text, empty, too long, or nothing that UTF-8 can hold.
        """
        if isinstance(value, str) and len(value) <= self.longest and is_utf8(value) and value.strip():
            return value.strip()
        raise _no_value(self.name, value, f"It is a text of 1 to {self.longest} characters.")


@dataclass(frozen=True, kw_only=True)
class Steering:
    """All that can be steered, and what a rollout may begin with.

    Raises:
        FieldValueError: Two controls or two starts have one name, or it needs an image and takes none.
    """

    axes: tuple[Axis, ...] = ()
    choices: tuple[Choice, ...] = ()
    texts: tuple[Text, ...] = ()
    prompt: Text | None = None
    """The prompt that a rollout begins with, where it takes one."""
    starts: tuple[str, ...] = ()
    """Names of what a rollout may begin with; the first is what it begins with unless another is named."""
    image: bool = False
    """Whether a rollout may begin with an image of the user's."""
    needs_image: bool = False
    """Whether it must."""

    def __post_init__(self) -> None:
        _check_once("controls", [control.name for control in self.controls])
        _check_once("starts", self.starts)
        if self.needs_image and not self.image:
            raise FieldValueError(
                "A rollout needs an image, and takes none.",
                "What needs an image takes one.",
                "Set image=True too in the runner's steering().",
            )

    @property
    def controls(self) -> tuple[Axis | Choice | Text, ...]:
        """Axes, choices and texts."""
        return (*self.axes, *self.choices, *self.texts)

    @property
    def rest(self) -> dict[str, Value]:
        """What axes and choices are held at while nothing is pressed."""
        held: tuple[Axis | Choice, ...] = (*self.axes, *self.choices)
        return {control.name: control.rest for control in held}

    def checked(self, values: Mapping[str, Any]) -> dict[str, Value]:
        """The values of some controls, by name.

        Raises:
            ControlError: There is no such control, or it cannot be set to that.
        """
        known = {control.name: control for control in self.controls}
        for name in values:
            if name not in known:
                raise ControlError(
                    f"There is no control {str(name)[:_SHOWN]!r}.",
                    did_you_mean(str(name)[:_SHOWN], known),
                    "Set only controls that the model has.",
                )
        return {name: known[name].checked(value) for name, value in values.items()}

    def as_tree(self) -> dict[str, Any]:
        """All of it as plain values, as JSON has them, for a page or a client."""
        return {
            "axes": [_labelled(axis) for axis in self.axes],
            "choices": [_labelled(choice) for choice in self.choices],
            "texts": [_labelled(text) for text in self.texts],
            "prompt": None if self.prompt is None else _labelled(self.prompt),
            "starts": [*self.starts],
            "image": self.image,
            "needs_image": self.needs_image,
        }


def _labelled(control: Axis | Choice | Text) -> dict[str, Any]:
    tree = {part.name: _plain(getattr(control, part.name)) for part in fields(control)}
    return {**tree, "label": control.label or control.name}


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return dict(value)
    return [*value] if isinstance(value, tuple) else value


def _check_once(what: str, names: Iterable[str]) -> None:
    given = list(names)
    twice = next((name for name in given if given.count(name) > 1), None)
    if twice is not None:
        raise FieldValueError(
            f"Two {what} are called {twice!r}.",
            f"All {what} have names of their own.",
            "Rename one of them in the runner's steering().",
        )


def is_utf8(text: str) -> bool:
    """Whether the text can be written down: JSON may hold halves of characters, which cannot."""
    return not any("\ud800" <= character <= "\udfff" for character in text)


def _no_value(name: str, value: Any, right: str) -> ControlError:
    shown = ascii(value)
    shown = shown if len(shown) <= _SHOWN else f"{shown[: _SHOWN - 3]}..."
    return ControlError(f"{name} is {shown}.", right, f"Set {name} to another value.")
