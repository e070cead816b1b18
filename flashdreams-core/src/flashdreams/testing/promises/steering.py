"""Promises about what people are offered: whatever they set or begin with, the pipeline takes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch

from flashdreams.infra.runner.steerable import Steerable
from flashdreams.infra.runner.steering import Steering, Text, Value
from flashdreams.plugins.blame import FAILURES, one_line
from flashdreams.testing.contract import broken, skip
from flashdreams.testing.promises.base import PipelinePromises
from flashdreams.testing.promises.subject import OTHER_PROMPT, Subject


class SteeringPromises(PipelinePromises):
    """What the runner's ``steering()`` offers is no empty word."""

    def test_whatever_people_set_steers_a_chunk(self) -> None:
        """Each axis at its ends and at rest, each option of each choice, each text."""
        with self.trial() as subject:
            runner, offered = self._offered()
            if not offered.controls:
                skip("Its runner offers nothing that people could set.")
            first = next(_beginnings(offered, subject))
            rollout = subject.begin(**runner.opening(**first))

            def steer(values: dict[str, Value]) -> None:
                subject.pipeline.generate(0, rollout, input=runner.steered(values))

            for values in _settings(offered):
                _taken(steer, values, "steers no chunk", "Correct steered(), or what steering() offers.")

    def test_whatever_people_may_begin_with_begins_a_rollout(self) -> None:
        """Nothing of their own, each start, a prompt, an image."""
        with self.trial() as subject:
            runner, offered = self._offered()

            def begin(given: dict[str, Any]) -> None:
                subject.pipeline.initialize_cache(**runner.opening(**given)).close()

            for given in _beginnings(offered, subject):
                _taken(begin, given, "begins no rollout", "Correct opening(), or what steering() offers.")

    def _offered(self) -> tuple[Steerable, Steering]:
        runner = self.steerable()
        if runner is None:
            skip("Without a slug there is no runner that offers anything.")
        return runner, runner.steering()


def _settings(offered: Steering) -> Iterator[dict[str, Value]]:
    """What people may set, one control after the other, the others at rest."""
    yield offered.rest
    for axis in offered.axes:
        yield from ({**offered.rest, axis.name: value} for value in (axis.low, axis.high))
    for choice in offered.choices:
        yield from ({**offered.rest, choice.name: option} for option in choice.options[1:])
    for text in offered.texts:
        yield {**offered.rest, text.name: _words(text)}


def _beginnings(offered: Steering, subject: Subject) -> Iterator[dict[str, Any]]:
    """What people may begin with, as ``opening`` takes it; an image is grey."""
    config = subject.pipeline.config
    image = torch.zeros(1, 3, 1, config.height, config.width)
    if not offered.needs_image:
        yield {"seed": 0}
    if offered.image:
        yield {"seed": 0, "start": image}
    yield from ({"seed": 0, "start": start} for start in offered.starts)
    if offered.prompt is not None:
        needed = {"start": image} if offered.needs_image else {}
        yield {"seed": 0, "prompt": _words(offered.prompt), **needed}


def _words(text: Text) -> str:
    return text.example or OTHER_PROMPT[: text.longest]


def _taken(take: Callable[[dict[str, Any]], None], given: dict[str, Any], what: str, change: str) -> None:
    __tracebackhide__ = True
    try:
        take(given)
    except FAILURES as error:
        shown = {
            name: "an image" if isinstance(value, torch.Tensor) else value for name, value in given.items()
        }
        broken(
            f"{shown} {what}: {one_line(error)}",
            "Pages offer people whatever the runner's steering() describes.",
            change,
        )
