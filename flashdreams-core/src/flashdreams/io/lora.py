"""LoRA merged into the weights of a module, once, when it is loaded."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from flashdreams.errors import LoraError, nearest
from flashdreams.io.layout import rename
from flashdreams.io.lora_file import (
    OUTER,
    UNDERSCORED,
    Change,
    Strength,
    changes_in,
    open_lora,
    split_scale,
    strength_of,
)
from flashdreams.io.safetensors_file import SafetensorsFile

if TYPE_CHECKING:
    from torch import Tensor, nn

LISTED = 5  # modules in an error
Renames = Iterable[tuple[str, str]]


@dataclass(frozen=True)
class _Merge:
    """A change of one module, and the parameters that it changes."""

    module: str
    """Its name in the file."""
    change: Change
    weight: Tensor
    bias: Tensor | None


def merge_lora(module: nn.Module, text: str, *renames: Renames) -> None:
    """Add a LoRA to the weights of a module, all of it or nothing.

    Each weight becomes ``W + scale * (alpha / rank) * up @ down``, computed in float32 and rounded once to
    the dtype of W. Names are understood as peft, diffusers, ComfyUI and kohya write them. Alpha is the
    module's own (``.alpha``), else that of ``adapter_config.json`` beside the file or of diffusers' metadata
    in it, else the rank.

    Args:
        module: The network, with its weights.
        text: "PATH" or "PATH:SCALE": a .safetensors file, or a folder with one.
        *renames: For each other way in which the network's tensors are named, the pairs of a regular
            expression and its replacement that lead to the names here (``Layout.renames``).

    Raises:
        LoraError: The file is absent, holds other things than a LoRA, or changes what the module lacks or
            has in another shape.
        WeightsFileError: The file is truncated or damaged.
    """
    import torch

    path, scale = split_scale(text)
    file = open_lora(path)
    strength, changes = strength_of(file), changes_in(file)
    merges = list(_matched(module, file, changes, [tuple(pairs) for pairs in renames]))
    for merge in merges:
        _check_shapes(file, merge)
    with torch.no_grad():
        for merge in merges:
            _apply(file, merge, strength, scale)


def _matched(
    module: nn.Module, file: SafetensorsFile, changes: Mapping[str, Change], tables: Sequence[Renames]
) -> Iterator[_Merge]:
    parameters = dict(module.named_parameters(remove_duplicate=False))
    weights = [name for name in parameters if name.endswith(".weight")]
    underscored = {UNDERSCORED + name.removesuffix(".weight").replace(".", "_"): name for name in weights}
    found = {name: underscored.get(name) or _weight_of(name, parameters, tables) for name in changes}
    lost = [name for name, weight in found.items() if weight is None]
    if lost:
        raise _no_module(module, file.path, lost, weights)
    for name, weight in found.items():
        if weight is not None:
            bias = parameters.get(weight.removesuffix("weight") + "bias")
            yield _Merge(name, changes[name], parameters[weight], bias)


def _weight_of(module: str, parameters: Mapping[str, Tensor], tables: Sequence[Renames]) -> str | None:
    """Name of the weight of a module that the file names in one of the known ways."""
    for prefix in (*OUTER, ""):
        if module.startswith(prefix):
            name = f"{module.removeprefix(prefix)}.weight"
            known = [own for own in (name, *(rename(name, table) for table in tables)) if own in parameters]
            if known:
                return known[0]
    return None


def _check_shapes(file: SafetensorsFile, merge: _Merge) -> None:
    change, weight = merge.change, tuple(merge.weight.shape)
    bias = tuple(merge.bias.shape) if merge.bias is not None else None
    wrong = [
        f"{name} is {list(file.shape(name))}, the {what} {list(shape) if shape else 'is absent'}"
        for name, what, shape in ((change.diff, "weight", weight), (change.diff_b, "bias", bias))
        if name and file.shape(name) != shape
    ]
    if change.alpha and math.prod(file.shape(change.alpha)) != 1:
        wrong.append(f"{change.alpha} is {list(file.shape(change.alpha))}, no number")
    if change.up:
        up, down = file.shape(change.up), file.shape(change.down)
        if (*up[:1], *down[1:]) != weight or up[1:] != (*down[:1], *[1] * (len(up) - 2)) or 0 in down:
            wrong.append(f"up is {list(up)}, down {list(down)}, the weight {list(weight)}")
    if wrong:
        raise LoraError(
            f"{file.path} does not fit {merge.module}: {'; '.join(wrong)}.",
            "The LoRA was made for another architecture.",
            "Use the slug or the config that the LoRA is for.",
        )


def _apply(file: SafetensorsFile, merge: _Merge, strength: Strength, scale: float) -> None:
    change = merge.change
    if change.up:
        up, down = (file.take(name).float().flatten(1) for name in (change.up, change.down))
        own_alpha = float(file.take(change.alpha)) if change.alpha else None
        factor = scale * strength.scale(merge.module, len(down), own_alpha)
        device = merge.weight.device
        _add(merge.weight, (up.to(device) @ down.to(device)).view(merge.weight.shape), factor)
    if change.diff:
        _add(merge.weight, file.take(change.diff), scale)
    if change.diff_b and merge.bias is not None:
        _add(merge.bias, file.take(change.diff_b), scale)


def _add(parameter: Tensor, difference: Tensor, factor: float) -> None:
    parameter.copy_(parameter.float() + factor * difference.to(parameter.device).float())


def _no_module(module: nn.Module, path: Path, lost: Sequence[str], weights: Sequence[str]) -> LoraError:
    owners = [name.removesuffix(".weight") for name in weights]
    shown = lost[:LISTED]
    count = f"{len(lost)} module{'s' * (len(lost) > 1)}"
    pairs = [f"{match} ({name})" for name in shown if (match := nearest(_inner(name), owners))]
    return LoraError(
        f"{path} changes {count} that {type(module).__name__} lacks: {', '.join(shown)}"
        f"{', ...' if len(lost) > LISTED else ''}.",
        f"Nearest here: {', '.join(pairs)}." if pairs else f"Here are: {', '.join(owners[:LISTED])}, ...",
        "Use the slug or the config that the LoRA is for.",
    )


def _inner(module: str) -> str:
    """Its name without what formats put before it."""
    return next((module.removeprefix(prefix) for prefix in OUTER if module.startswith(prefix)), module)
