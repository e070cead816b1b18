"""What the contracts of schedulers, decoders and encoders have in common."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from flashdreams.errors import ComponentError
from flashdreams.infra import state_tree
from flashdreams.infra.config import InstantiateConfig
from flashdreams.infra.contract import built
from flashdreams.testing.component_tools import Call, distance, plainly
from flashdreams.testing.contract import Contract, broken
from flashdreams.testing.promises import fingerprint

_OF_TORCH = frozenset(vars(nn.Module()))
"""Attributes in which torch keeps parameters, buffers and modules."""


class ComponentContract(Contract):
    """A part of a pipeline, alone. Set :attr:`component` to its registered name, or :attr:`config`."""

    component: ClassVar[str] = ""
    """The name under which it is registered."""
    config: ClassVar[InstantiateConfig | None] = None
    """Its config, in place of the name: for one that is not registered, or to test it small."""
    kind: ClassVar[str]
    """The kind under which the name is registered."""
    base: ClassVar[type[nn.Module]]
    """What it derives from."""
    dtypes: ClassVar[tuple[str, ...]] = ("float32", "bfloat16")
    """What a pipeline may cast it to."""

    _part: ClassVar[nn.Module | None] = None

    def make_config(self) -> InstantiateConfig:
        """The config of what is tested.

        Raises:
            PluginError: No component of the kind has the name.
        """
        if self.config is not None:
            return self.config
        from flashdreams.plugins.registry import installed_registry

        if not self.component:
            broken(
                f"{type(self).__name__} says neither component nor config.",
                "A contract knows what it tests.",
                f'Set component = "NAME" of a registered {self.kind}, or config = MyConfig(...).',
            )
        return installed_registry().component_config(self.kind, self.component)

    def set_up(self, **how: Any) -> Any:
        """A fresh component, as a pipeline has it: it infers, and does not learn."""
        return self.make_config().setup(**how).eval().requires_grad_(False)

    @property
    def part(self) -> Any:
        """The component, set up once for all checks."""
        cls = type(self)
        if "_part" not in vars(cls):
            cls._part = self.set_up()
        return cls._part

    @property
    def name(self) -> str:
        """The class of the component, for messages."""
        return type(self.part).__name__

    def exercise(
        self, part: Any, *, seed: int = 0, dtype: str = "float32", device: str = "cpu", call: Call = plainly
    ) -> Any:
        """Use the component as a pipeline would, a few chunks of it, and return all that it makes.

        Args:
            part: The component, in ``dtype`` on ``device``.
            seed: Of what it is given.
            dtype: Floating-point type of what it is given.
            device: Where what it is given lies.
            call: Makes the calls; what it is handed as arguments is the pipeline's, and to be left alone.
        """
        raise NotImplementedError

    def test_it_is_what_its_place_takes(self) -> None:
        """It builds, and derives from the base class of its kind."""
        try:
            built(self.make_config(), self.base, self.kind)
        except ComponentError as error:
            broken(error.what, error.right, error.next)


class KeepsToItself(ComponentContract):
    """What holds of every component: it depends on its weights and its arguments, and changes neither."""

    def test_setting_it_up_twice_gives_the_same_weights(self) -> None:
        """The same seed makes the same video after a restart."""
        apart = fingerprint.changed(*(fingerprint.weights(self.set_up()) for _ in range(2)))
        if apart:
            broken(
                f"{self.name} set up twice has two values of {apart[0]}.",
                "Weights come from a file, or from a seed in the config: a video is the same after a "
                "restart.",
                "Initialise under flashdreams.testing.toy.seeded_weights(seed), or torch.manual_seed inside "
                "torch.random.fork_rng.",
            )

    def test_it_draws_no_random_numbers(self) -> None:
        """Noise comes from the pipeline, by seed and chunk."""
        before = torch.get_rng_state()
        self.exercise(self.part)
        if not torch.equal(before, torch.get_rng_state()):
            broken(
                f"{self.name} drew random numbers from torch while it ran.",
                "Noise is a function of seed, chunk, draw and batch member, and handed in by the pipeline.",
                "Use the noise that it is given (a scheduler asks for more with `draws`), or none: "
                "torch.randn, rand_like, dropout and normal_ have no place in a forward.",
            )

    def test_running_leaves_it_unchanged(self) -> None:
        """No state on the module."""
        part = self.set_up()
        self.exercise(part, seed=1)  # a memo may settle in the first run
        before = fingerprint.attributes(part) | fingerprint.weights(part)
        self.exercise(part, seed=2)
        changed = fingerprint.changed(before, fingerprint.attributes(part) | fingerprint.weights(part))
        if changed:
            broken(
                f"{self.name} changed its own {changed[0]} while it ran.",
                "What changes during a rollout lives in the rollout: many rollouts share one component.",
                "Return it as state (a streaming component's second result, a scheduler's memory) and take "
                "it from there.",
            )

    def test_what_it_is_given_stays_as_it_is(self) -> None:
        """Arguments are not overwritten, the state among them."""

        def watched(function: Callable[..., Any], *arguments: Any) -> Any:
            given = [tensor for argument in arguments for tensor in _tensors(argument)]
            before = [tensor.clone() for tensor in given]
            made = function(*arguments)
            spoilt = [distance(*pair) > 0 for pair in zip(before, given, strict=True)]
            if any(spoilt):
                which = given[spoilt.index(True)]
                broken(
                    f"{self.name} overwrote an argument, a tensor {list(which.shape)}.",
                    "What it is given is the pipeline's: a chunk can be made again until it is final.",
                    "Take out-of-place operators (x = x + y, not x += y or x.add_(y)), or clone first.",
                )
            return made

        self.exercise(self.part, call=watched)

    def test_the_same_input_makes_the_same_output(self) -> None:
        """To the last bit."""
        once, again = (list(_tensors(self.exercise(self.part))) for _ in range(2))
        apart = max(map(distance, once, again), default=0.0)
        if apart > 0:
            broken(
                f"{self.name} made two results of one input, {apart:.3g} apart.",
                "The same input makes the same output, to the last bit: a chunk may be made again.",
                "Look for memory that is read before it is written (torch.empty), and for clocks and sets.",
            )

    def test_its_tensors_follow_it_to_its_device(self) -> None:
        """They are parameters or buffers."""
        for where, part in self.part.named_modules():
            own = ((name, value) for name, value in vars(part).items() if name not in _OF_TORCH)
            loose = next((name for name, value in own if _holds_tensor(value)), None)
            if loose is not None:
                broken(
                    f"{self.name} holds a tensor as the plain attribute {f'{where}.' * bool(where)}{loose}.",
                    "Parameters and buffers follow a module to its device; other tensors stay behind.",
                    f"Write self.register_buffer({loose!r}, tensor, persistent=False) in __init__.",
                )

    def test_it_works_in_every_dtype(self) -> None:
        """Cast as a pipeline casts it."""
        for dtype in self.dtypes:
            made = self._made_in(dtype)
            if not all(tensor.isfinite().all() for tensor in made if tensor.is_floating_point()):
                broken(
                    f"{self.name} in {dtype} makes values that are not finite.",
                    f"Its dtypes are {', '.join(self.dtypes)}.",
                    "Compute what overflows in float32, or set dtypes of this contract to what it takes.",
                )

    def _made_in(self, dtype: str) -> list[Tensor]:
        part = self.set_up().to(getattr(torch, dtype))
        try:
            return list(_tensors(self.exercise(part, dtype=dtype)))
        except RuntimeError as error:
            broken(
                f"{self.name} cast to {dtype} fails: {' '.join(str(error).split())[:200]}",
                "A pipeline casts its parts to its dtype and gives them tensors of it.",
                "Make new tensors like those that come in (x.new_zeros, torch.zeros_like), or set dtypes of "
                "this contract to what it takes.",
            )


def _holds_tensor(value: Any) -> bool:
    """Whether a value is a tensor, or a plain container with one in it."""
    if isinstance(value, (list, tuple)):
        return any(map(_holds_tensor, value))
    if isinstance(value, dict):
        return any(map(_holds_tensor, value.values()))
    return isinstance(value, Tensor)


def _tensors(value: Any) -> list[Tensor]:
    """Tensors of a state tree; those of what is none are not ours to look at."""
    try:
        return list(state_tree.tensors(value))
    except TypeError:
        return []
