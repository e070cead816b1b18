"""The files that ship inside the package: the weights and the start clips."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from flashdreams.errors import ImageError, did_you_mean
from flashdreams.infra.config.placement import placement
from flashdreams.io.weights import load_weights

ModuleT = TypeVar("ModuleT", bound=nn.Module)

_FOLDER = Path(__file__).parent / "weights"
WEIGHTS = _FOLDER / "pocket_racer.safetensors"
WEIGHTS_SHA256: str | None = "7e9f3113bd83e518441bb6245ada98ab584b6a11f7a4ed53dd886b9b57a6bf47"
"""SHA-256 of the released weights."""
STARTS = _FOLDER / "starts.npz"


@dataclass(frozen=True)
class StartClip:
    """A few frames of the true environment, and the controls that led to each."""

    frames: Tensor
    """uint8 ``[T, 64, 64, 3]``."""
    controls: Tensor
    """float32 ``[T, 3]``: steer, gas, brake."""


def load_part(build: Callable[[], ModuleT], part: str, weights: str) -> ModuleT:
    """Build a module without memory of its own, and fill it from a part of a weights file.

    Where it is built for ``meta``, to be planned, nothing is read.

    Args:
        build: Builds the module.
        part: Prefix of its tensors in the file: "dit", "encoder" or "decoder".
        weights: "shipped", "random" (seeded, the same every time), or the path of a safetensors file.

    Raises:
        WeightsError: The file is absent, damaged, or does not fit.
    """
    with torch.device("meta"):
        module = build()
    if placement().device == "meta":
        return module
    if weights == "random":
        module.to_empty(device="cpu")
        _fill_randomly(module)
    elif weights == "shipped":
        load_weights(module, WEIGHTS, prefix=f"{part}.", sha256=WEIGHTS_SHA256, device="cpu")
    else:
        load_weights(module, Path(weights), prefix=f"{part}.", device="cpu")
    return module


def start_names() -> list[str]:
    """Names of the shipped start clips."""
    with np.load(STARTS) as file:
        return sorted(key.removesuffix(".frames") for key in file if key.endswith(".frames"))


def load_start(name: str) -> StartClip:
    """The shipped start clip of that name.

    Raises:
        ImageError: There is no such clip.
    """
    names = start_names()
    if name not in names:
        raise ImageError(
            f"There is no start clip {name!r}, nor a file of that name.",
            did_you_mean(name, names),
            "Give --first-frame the path of an image, or one of: " + ", ".join(names) + ".",
        )
    with np.load(STARTS) as file:
        frames, controls = (torch.from_numpy(file[f"{name}.{part}"]) for part in ("frames", "controls"))
    return StartClip(frames, controls)


def _fill_randomly(module: nn.Module) -> None:
    generator = torch.Generator().manual_seed(0)
    for parameter in module.parameters():
        scale = 0.02 if parameter.dim() < 2 else parameter[0].numel() ** -0.5
        parameter.data.copy_(torch.randn(parameter.shape, generator=generator) * scale)
    for name, buffer in module.named_buffers():
        buffer.fill_(1.0 if name.endswith("std") else 0.0)
