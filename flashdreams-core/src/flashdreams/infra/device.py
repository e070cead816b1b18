"""Devices by name, and threads. torch is imported when it is asked."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from flashdreams.errors import DeviceError

if TYPE_CHECKING:
    import torch


def resolve_device(name: str) -> torch.device:
    """The device that ``name`` means: cpu, cuda, cuda:N, mps, or auto for the fastest there is.

    ``auto`` takes the first CUDA GPU, else Apple's GPU, else the CPU.

    Raises:
        DeviceError: There is no such device on this machine.
    """
    import torch

    here = available_devices()
    if name == "auto":
        return torch.device(here[0])
    if name not in here and not (name == "cuda" and "cuda:0" in here):
        raise DeviceError(
            f"The device is {name!r}.",
            f"This machine has {', '.join(sorted(here))}.",
            f"Set --device to one of these, or to auto, which takes {here[0]} here.",
        )
    return torch.device(name)


def check_device(name: str) -> None:
    """Refuse a device that this machine does not have. torch is asked only where that can be so.

    Raises:
        DeviceError: There is no such device on this machine.
    """
    if name not in ("auto", "cpu"):
        resolve_device(name)


def available_devices() -> list[str]:
    """Names of the devices that torch can compute on here, the fastest first."""
    import torch

    gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    apple = ["mps"] if torch.backends.mps.is_available() else []
    return [*(f"cuda:{index}" for index in range(gpus)), *apple, "cpu"]


@contextmanager
def cpu_threads(count: int | None) -> Iterator[int]:
    """Let torch compute with ``count`` CPU threads inside; None changes nothing. Gives the number."""
    import torch

    before = torch.get_num_threads()
    if count is not None:
        torch.set_num_threads(count)
    try:
        yield torch.get_num_threads()
    finally:
        if count is not None:
            torch.set_num_threads(before)
