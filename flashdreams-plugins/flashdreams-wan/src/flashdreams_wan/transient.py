"""What is loaded when it is needed, and released after."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

import torch
from torch import Tensor, nn

from flashdreams.infra.config.placement import placement, placing
from flashdreams.infra.device import resolve_device

LoadedT = TypeVar("LoadedT")
ResultT = TypeVar("ResultT")

_ROOM = 1.1
"""Memory that a module needs, in sizes of its weights: what it computes comes on top of them."""


class Transient(Generic[LoadedT]):
    """Something large that is in memory only while it is used, or from its first use on.

    Args:
        keep: Whether it stays in memory after its first use.
    """

    def __init__(self, *, keep: bool) -> None:
        self._keep = keep
        self._kept: LoadedT | None = None

    def use(self, load: Callable[[], LoadedT], function: Callable[[LoadedT], ResultT]) -> ResultT:
        """What ``function`` makes of what ``load`` gives, which is released when it returns.

        ``load`` is not called where its result is still in memory. ``function`` must not keep it.
        """
        loaded = load() if self._kept is None else self._kept
        self._kept = loaded if self._keep else None
        try:
            return function(loaded)
        finally:
            del loaded
            if not self._keep and torch.cuda.is_initialized():
                torch.cuda.empty_cache()


class TransientModule:
    """A module that is in memory only while it is used, or from its first use on.

    It is no torch module itself, so that a pipeline that moves or counts its parts does not see it.

    Args:
        load: Builds the module where and as :func:`flashdreams.infra.config.placement.placement` says.
        keep: Whether it stays in memory after its first use.
        device: Where it computes; "auto" is the device of its user where there is room, else the CPU.
    """

    def __init__(self, load: Callable[[], nn.Module], *, keep: bool, device: str) -> None:
        self._load = load
        self._held = Transient[nn.Module](keep=keep)
        self._device = device

    def skeleton(self, dtype: torch.dtype) -> nn.Module:
        """The module on ``meta``: shapes and no values. Nothing is read."""
        return self._built(dtype, torch.device("meta"))

    def use(
        self, function: Callable[[nn.Module], ResultT], dtype: torch.dtype, beside: torch.device
    ) -> ResultT:
        """What ``function`` makes of the module, which is released when it returns.

        Args:
            function: Called with the module; it must not keep it.
            dtype: Type of the module's weights.
            beside: Device of the module's user.

        Raises:
            DeviceError: The config names a device that this machine does not have.
            WeightsError: The weights cannot be loaded.
        """
        return self._held.use(lambda: self._built(dtype, self._place(dtype, beside)), function)

    def _built(self, dtype: torch.dtype, device: torch.device) -> nn.Module:
        with placing(dtype=str(dtype).removeprefix("torch."), device=str(device)):
            return self._load().eval().requires_grad_(False)

    def _place(self, dtype: torch.dtype, beside: torch.device) -> torch.device:
        if self._device != "auto":
            return resolve_device(self._device)
        if beside.type != "cuda":
            return beside
        needed = _ROOM * size_in_bytes(self.skeleton(dtype))
        return beside if needed <= _free_bytes(beside) else torch.device("cpu")


def anchor() -> Tensor:
    """Nothing, in the dtype and on the device of what is being built.

    A part without weights of its own registers it as a buffer, and learns from it where it was moved to.
    """
    here = placement()
    return torch.empty(0, dtype=getattr(torch, here.dtype), device=here.device)


def size_in_bytes(module: nn.Module) -> int:
    """Bytes of a module's parameters and buffers, those that are shared counted once."""
    return sum(t.numel() * t.element_size() for t in [*module.parameters(), *module.buffers()])


def _free_bytes(device: torch.device) -> int:
    free, _ = torch.cuda.mem_get_info(device)
    return free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
