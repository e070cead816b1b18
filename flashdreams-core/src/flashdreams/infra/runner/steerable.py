"""What a runner says of the inputs of its rollouts: what they begin with, and what steers each chunk."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from flashdreams.infra.runner.steering import Choice, Steering, Value

if TYPE_CHECKING:
    from torch import Tensor

_READ = 60
"""Characters of an example that people read."""


class Steerable:
    """The inputs of rollouts, given by the config or by somebody who watches."""

    def conditions(self) -> dict[str, Any]:
        """Arguments of ``initialize_cache`` beside the seed: also asked for before the pipeline is built."""
        return {}

    def control(self, index: int, last_chunk: Tensor | None) -> Any:
        """What steers chunk ``index``.

        Args:
            index: The chunk, from 0.
            last_chunk: Pixels of the chunk before it, ``[B, 3, T, H, W]`` in [-1, 1]; None at first.
        """
        return None

    def control_examples(self) -> Sequence[Any]:
        """Controls that steer apart, as :meth:`control` would give them; none where nothing can be steered.

        For whoever tries a model out without knowing it: tests, warm-up, a page that steers.
        """
        return ()

    def steering(self) -> Steering:
        """How people steer while they watch, and what they may begin with. Nothing is built for it.

        A runner that says nothing here is steered by its :meth:`control_examples`, one at a time.
        """
        examples = self.control_examples()
        return Steering(choices=(_choice_of(examples),)) if examples else Steering()

    def steered(self, values: Mapping[str, Value]) -> Any:
        """What steers a chunk, as ``generate`` takes it, from what :meth:`steering` offers.

        Without controls that is None; of axes alone a tuple of their numbers, in order, of one axis too;
        else the ``values`` themselves.

        Args:
            values: Every axis and choice by name, and of the texts those that are new with this chunk.
        """
        offered, examples = self.steering(), self.control_examples()
        if examples and offered.controls == (_choice_of(examples),):
            (choice,) = offered.choices
            return examples[choice.options.index(str(values[choice.name]))]
        if not offered.controls:
            return None
        if offered.choices or offered.texts:
            return dict(values)
        return tuple(values[axis.name] for axis in offered.axes)

    def opening(
        self, *, seed: int, prompt: str | None = None, start: str | Tensor | None = None
    ) -> dict[str, Any]:
        """Arguments of ``initialize_cache`` for a rollout that somebody steers.

        Args:
            seed: Seed of the noise.
            prompt: What it begins with, where :meth:`steering` offers a prompt; None for the config's own.
            start: One of the starts that :meth:`steering` offers, or an image as pixels ``[1, 3, 1, H, W]``
                in [-1, 1], where it takes one; None for the config's own.
        """
        given = {**self.conditions(), "seed": seed}
        if prompt is not None:
            given.pop("text", None)  # another name of the same
            given["prompts"] = [prompt]
        if start is not None:
            given["first_frame"] = start
        return given


def _choice_of(examples: Sequence[Any]) -> Choice:
    """One of the examples, as people read it; numbered, so that no two are alike."""
    options = (f"{number}: {str(example)[:_READ]}" for number, example in enumerate(examples, start=1))
    return Choice(name="control", options=tuple(options))
