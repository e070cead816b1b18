"""What the contracts of components draw, call and compare with."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from flashdreams.infra.contract import with_state
from flashdreams.infra.streaming import Streaming
from flashdreams.plugins.blame import one_line
from flashdreams.testing.contract import broken, skip
from flashdreams.testing.fake_gpu import host_syncs_of

Call = Callable[..., Any]
"""Calls a function with arguments, and perhaps looks at these before and after."""

_NO_DRIVER = "not linked with support for cuda"
"""What torch says where something asks for the driver of a GPU that is not there."""


def normal(*shape: int, seed: int = 0, dtype: str = "float32", device: str = "cpu") -> Tensor:
    """Standard normal values that depend on shape and seed alone; shapes alone where not on the CPU.

    torch's own random state is left as it is.
    """
    if device != "cpu":
        return torch.empty(shape, dtype=getattr(torch, dtype), device=device)
    values = torch.randn(shape, generator=torch.Generator().manual_seed(seed))
    return values.to(getattr(torch, dtype))


def plainly(function: Callable[..., Any], *arguments: Any) -> Any:
    """Call a function."""
    return function(*arguments)


@torch.no_grad()
def in_chunks(part: Any, inputs: Sequence[Any], call: Call = plainly) -> tuple[list[Any], list[Any]]:
    """What a decoder or an encoder makes of successive chunks, and its state after each.

    One without state has the state None.
    """
    if not isinstance(part, Streaming):
        return [call(part, given) for given in inputs], [None] * len(inputs)
    made, states = [], [part.initialize_state()]
    for given in inputs:
        result, state = with_state(call(part, given, states[-1]), part)
        made.append(result)
        states.append(state)
    return made, states[1:]


def waits_on_gpu(part: nn.Module, use: Callable[[Any], object]) -> list[str]:
    """What makes the host wait when ``use`` runs a component on a GPU; see :func:`host_syncs_of`."""
    try:
        return host_syncs_of(part, use)
    except Exception as error:
        if _NO_DRIVER in str(error):
            skip("it asks for the driver of a GPU, which is not here")
        broken(
            f"{type(part).__name__} on a GPU fails: {one_line(error)}",
            "Every tensor lies where the weights and the inputs lie.",
            "Make new tensors there: x.new_zeros(...), torch.arange(n, device=x.device).",
        )


def distance(one: Tensor, other: Tensor) -> float:
    """The largest difference of two tensors; infinite where they have different shapes, or no numbers."""
    if one.shape != other.shape:
        return float("inf")
    largest = (one.double() - other.double()).abs().amax().item() if one.numel() else 0.0
    return float("inf") if largest != largest else largest
