"""Keys of compiled code: everything that decides what code is right, and nothing else."""

from __future__ import annotations

import platform
from functools import cache
from hashlib import sha256

import torch
from torch import nn

from flashdreams.engine.compile.blueprint import described, packages_of
from flashdreams.engine.compile.call import Call
from flashdreams.io.artefacts import cpu_identity, installed_version, sources_digest

FORMAT = 1
"""Counts changes of what an artefact is."""


def module_key(module: nn.Module) -> str:
    """Equal for modules that the same compiled code can serve, on this machine."""
    told = [*described(module), _sources(tuple(packages_of(module)))]
    return _digest("\n".join(told))


def code_key(module_key: str, call: Call) -> str:
    """Key of the code for a call of a module with that key; 32 hexadecimal digits."""
    device = call.tensors[0].device if call.tensors else torch.device("cpu")
    told = [str(FORMAT), module_key, repr(call.signature), repr(sorted(versions().items()))]
    return _digest("\n".join([*told, machine(device), str(torch.get_num_threads())]))[:32]


def versions() -> dict[str, str]:
    """Versions of what compiles."""
    return {"python": platform.python_version(), "torch": torch.__version__, "triton": _triton()}


def machine(device: torch.device) -> str:
    """The card or CPU that code is compiled for."""
    if device.type == "cuda":
        major, minor = torch.cuda.get_device_capability(device)
        return f"{torch.cuda.get_device_name(device)} sm_{major}{minor} cuda {torch.version.cuda}"
    return cpu_identity()


@cache
def _sources(packages: tuple[str, ...]) -> str:
    return sources_digest(packages)


@cache
def _triton() -> str:
    return installed_version("triton")


def _digest(text: str) -> str:
    return sha256(text.encode()).hexdigest()
