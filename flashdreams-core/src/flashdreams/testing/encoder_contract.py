"""What an encoder promises: one encoding for one input, of one shape, and a state that is handed on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, ClassVar

import torch
from torch import Tensor

from flashdreams.errors import FlashDreamsError
from flashdreams.infra import state_tree
from flashdreams.infra.conditions import Conditions
from flashdreams.infra.encoder.base import Encoder, StreamingEncoder
from flashdreams.testing.component_contract import ComponentContract, KeepsToItself
from flashdreams.testing.component_tools import Call, distance, in_chunks, plainly
from flashdreams.testing.contract import broken, skip


class EncoderBasics(ComponentContract):
    """What is wrong here makes everything else wrong."""

    kind: ClassVar[str] = "encoder"
    base = Encoder
    inputs: ClassVar[Sequence[Any]] = ()
    """Of an encoder of controls: two or more that steer apart."""
    conditions: ClassVar[Sequence[Mapping[str, Any]]] = ()
    """Of a context encoder: two or more ways to begin a video, as arguments of ``initialize_cache``, such as
    ``{"prompts": ["a fox"]}``; each for one video."""
    size: ClassVar[tuple[int, int]] = (16, 16)
    """Height and width of the video, for context encoders."""

    def examples(self, dtype: str = "float32", device: str = "cpu") -> list[Any]:
        """What is encoded: controls, or :class:`Conditions`; floating-point tensors cast and moved."""
        if not self.inputs and not self.conditions:
            broken(
                f"{type(self).__name__} says neither inputs nor conditions.",
                "Nobody but its author knows what an encoder takes.",
                "Set inputs = (control, other_control); of a context encoder, conditions = ({...}, {...}).",
            )
        move = partial(_moved, dtype=dtype, device=device)
        beginnings = [self._begun({name: move(value) for name, value in c.items()}) for c in self.conditions]
        return [*map(move, self.inputs), *beginnings]

    def exercise(
        self, part: Any, *, seed: int = 0, dtype: str = "float32", device: str = "cpu", call: Call = plainly
    ) -> Any:
        """Every example, one after the other; which is the first depends on the seed."""
        examples = self.examples(dtype, device)
        turn = seed % len(examples)
        return in_chunks(part, [*examples[turn:], *examples[:turn]], call)

    def test_it_encodes_what_it_is_given(self) -> None:
        """As tensors and plain values."""
        encodings, states = self.exercise(self.part)
        for value in [*encodings, *states]:
            try:
                state_tree.signature(value)
            except TypeError as error:
                broken(
                    str(error),
                    "Encodings and states are kept, compared and restored with a rollout.",
                    f"Return such values from {self.name}.forward.",
                )

    def test_no_input_is_an_input_too(self) -> None:
        """A chunk that is not steered, a rollout without conditions: encoded, or refused with what to do."""
        nothing = self._begun({}) if self.conditions else None
        try:
            in_chunks(self.part, [nothing])
        except FlashDreamsError:
            return
        except Exception as error:
            broken(
                f"{self.name} given {'no conditions' if self.conditions else 'None'} fails: {error!r:.160}",
                "A chunk that nothing steers has the input None, and a rollout may begin without conditions.",
                "Encode it as what means nothing (zeros, an empty prompt), or raise an InputError that says "
                "what to give.",
            )

    def _begun(self, conditions: Mapping[str, Any]) -> Conditions:
        named = dict(conditions)
        own = {name: named.pop(name, None) for name in ("prompts", "first_frame")}
        batch = named.pop("batch_size", 1)
        height, width = (named.pop(*pair) for pair in zip(("height", "width"), self.size, strict=True))
        return Conditions(**own, height=height, width=width, batch_size=batch, inputs=named)


class EncoderContract(KeepsToItself, EncoderBasics):
    """An encoder, alone: ``class TestMyEncoder(EncoderContract)`` with ``component`` and ``inputs``.

    Of a context encoder: ``kind = "context_encoder"`` and ``conditions``.
    """

    steers: ClassVar[bool] = True
    """Whether another input makes another encoding."""
    tolerance: ClassVar[float] = 1e-5
    """Largest difference of an encoding made in a batch from the same one made alone."""

    def test_other_inputs_make_other_encodings(self) -> None:
        """It looks at what it encodes."""
        if not self.steers:
            skip("steers is False: it ignores its input")
        encodings = [in_chunks(self.part, [example])[0][0] for example in self.examples()]
        for index, other in enumerate(encodings[1:], 1):
            if _equal(encodings[0], other):
                broken(
                    f"{self.name} makes the same of example {index} as of example 0.",
                    "Inputs that steer apart have encodings that differ.",
                    "Look at what becomes of the input; where it is to be ignored, set steers = False.",
                )

    def test_encodings_have_one_shape(self) -> None:
        """Whatever the input, so that one graph serves all chunks."""
        shapes = [_shapes(encoding) for encoding in self.exercise(self.part)[0]]
        other = next((index for index, shape in enumerate(shapes) if shape != shapes[0]), None)
        if other is not None:
            broken(
                f"{self.name} makes {shapes[0]} of example 0, and {shapes[other]} of example {other}.",
                "Encodings have the same shapes and dtypes, whatever is encoded: each further one costs "
                "memory and graphs.",
                "Pad to a fixed length, or encode absence as zeros.",
            )

    def test_the_state_keeps_its_shape(self) -> None:
        """After every chunk it is a tree of the same tensors."""
        if not isinstance(self.part, StreamingEncoder):
            skip("an encoder without state")
        example = self.examples()[0]
        states = [state_tree.signature(state) for state in in_chunks(self.part, [example] * 4)[1]]
        other = next((index for index, shape in enumerate(states) if shape != states[0]), None)
        if other is not None:
            broken(
                f"The state of {self.name} is {states[0]} after chunk 0, and {states[other]} after chunk "
                f"{other}.",
                "It has the same structure, shapes and plain values after every chunk: memory does not grow.",
                "Keep what is needed of the last chunks in tensors of fixed shape; count in a tensor, not in "
                "a Python int.",
            )

    def test_it_takes_the_conditions_that_it_declares(self) -> None:
        """``takes`` names them, so that others are refused."""
        if not self.conditions:
            skip("an encoder of controls")
        takes, given = self.part.takes, {name for example in self.examples() for name in example.given()}
        if takes is not None and given - takes:
            broken(
                f"{self.name} is given {', '.join(sorted(given - takes))}, and takes "
                f"{', '.join(sorted(takes))}.",
                "`takes` names every condition that a context encoder reads; a pipeline refuses others.",
                f"Add it to {self.name}.takes, or leave it out of the conditions.",
            )

    def test_videos_of_a_batch_do_not_see_each_other(self) -> None:
        """Each is encoded as it is alone."""
        if not self.conditions:
            skip("an encoder of controls is called for all videos at once")
        pair = [dict(self.conditions[0]), dict(self.conditions[-1])]
        joined = {
            name: _joined([each.get(name) for each in pair]) for name in pair[0].keys() & pair[1].keys()
        }
        if pair[0].keys() != pair[1].keys() or None in joined.values():
            skip("the first two conditions cannot be put into one batch")
        together = in_chunks(self.part, [self._begun({**joined, "batch_size": 2})])[0][0]
        for member, conditions in enumerate(pair):
            alone = in_chunks(self.part, [self._begun(conditions)])[0][0]
            apart = self._apart(together, alone, member)
            if apart > self.tolerance:
                broken(
                    f"Video {member} of a batch is encoded {apart:.3g} from the same one alone by "
                    f"{self.name}.",
                    f"Tensors of the context are [B, ...], each member to {self.tolerance} as it is alone.",
                    "Encode each member by itself; take no mean, norm or maximum over the batch.",
                )

    def _apart(self, together: Any, alone: Any, member: int) -> float:
        pairs = zip(state_tree.tensors(together), state_tree.tensors(alone), strict=True)
        return max((distance(many[member : member + 1], one) for many, one in pairs), default=0.0)


def _moved(value: Any, dtype: str, device: str) -> Any:
    """The same value, with the floating-point tensors in it cast and all moved."""

    def move(tensor: Tensor) -> Tensor:
        return tensor.to(device, getattr(torch, dtype) if tensor.is_floating_point() else tensor.dtype)

    try:
        return state_tree.mapped(move, value)
    except TypeError:  # an object of the plugin's own
        return value


def _equal(one: Any, other: Any) -> bool:
    """Whether two encodings are the same, values included."""
    if state_tree.signature(one) != state_tree.signature(other):
        return False
    return all(map(torch.equal, state_tree.tensors(one), state_tree.tensors(other)))


def _shapes(encoding: Any) -> list[str]:
    return [f"{list(t.shape)} {str(t.dtype).removeprefix('torch.')}" for t in state_tree.tensors(encoding)]


def _joined(values: Sequence[Any]) -> Any:
    """Two values of a condition as one for a batch of two; None where that is not known."""
    if all(isinstance(value, list) for value in values):
        return [*values[0], *values[1]]
    if all(isinstance(value, Tensor) for value in values) and values[0].shape == values[1].shape:
        return torch.cat(list(values))
    return values[0] if values[0] == values[1] else None
