"""What a runner or component needs of the machine, and what of it is absent."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.util import find_spec

from flashdreams.plugins.blame import one_line


def missing(needs: Iterable[str]) -> list[str]:
    """What is absent, one reason each. Imports torch only for the needs "cuda" and "mps"."""
    return [reason for need in needs if (reason := _missing(need)) is not None]


def _missing(need: str) -> str | None:
    device = {"cuda": _has_cuda, "mps": _has_mps}.get(need)
    if device is None:
        return None if _is_installed(need) else f"the module {need} is not installed"
    try:
        return None if device() else f"there is no {need} device"
    except Exception as error:  # a torch that is absent or damaged
        return f"it is unknown whether there is a {need} device: {one_line(error)}"


def _has_cuda() -> bool:
    import torch

    return torch.cuda.is_available()


def _has_mps() -> bool:
    import torch

    return torch.backends.mps.is_available()


def _is_installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except (ImportError, ValueError):
        return False
