"""Weights: from a file into a module, checked, and never twice in memory."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from flashdreams.errors import WeightsFileError, WeightsHashError, WeightsKeyError, nearest
from flashdreams.io.checksum import sha256_of
from flashdreams.io.tensor_file import TensorFile, open_tensors

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

__all__ = ["load_weights", "sha256_of"]

LISTED = 8  # names of each kind in an error
Renames = Iterable[tuple[str, str]]


def load_weights(
    module: nn.Module,
    path: str | Path,
    *,
    prefix: str = "",
    sha256: str | None = None,
    renames: Renames = (),
    device: torch.device | str | None = None,
) -> None:
    """Fill a module's parameters and buffers from a file, all or none.

    Tensors are mapped from the file and copied once, into the dtype and to the device that the module
    has. Those of a module built on ``meta`` take the place of its empty ones; where dtype and device
    agree they stay mapped, so leave the file alone while the module lives. Matrices stored as int8 rows
    (:mod:`flashdreams.io.row_quantised`) are dequantised. Of tied parameters the file may hold any one.
    Buffers that are not persistent are in no file, and stay as they are.

    Args:
        module: What to fill.
        path: A .safetensors file, or a torch checkpoint (.pt, .pth, .bin, .ckpt) of nothing but tensors.
        prefix: Only tensors whose names begin so are taken, and the prefix is left out of their names.
        sha256: The hash that the file must have, 64 hexadecimal digits.
        renames: Pairs of a regular expression and its replacement, applied to each name in this order.
        device: Where tensors of a module on ``meta`` go; torch's default device where None.

    Raises:
        WeightsFileError: The file is absent, truncated, of another format, or a pickle with code in it.
        WeightsHashError: The file has another hash.
        WeightsKeyError: The file lacks tensors, has others, or has them in other shapes.
    """
    path = Path(path)
    if sha256 is not None:
        check_sha256(path, sha256)
    with open_tensors(path) as file:
        sources = _sources(file, path, prefix, renames)
        targets = _targets(module)
        _check_fit(module, path, targets, {name: file.shape(source) for name, source in sources.items()})
        for names in _tied(targets).values():
            source = next(sources[name] for name in names if name in sources)
            _fill(module, names, targets[names[0]], file.read(source), device)


def check_sha256(path: Path, expected: str) -> None:
    """Refuse a file with another hash than the pinned one.

    Raises:
        WeightsFileError: The file cannot be read.
        WeightsHashError: The hash differs; both are attributes of the error.
    """
    try:
        actual = sha256_of(path)
    except OSError as error:
        raise WeightsFileError(
            f"{path} cannot be read: {error.strerror}.",
            "Weights are one readable file.",
            "Check the path, or install or download the weights again.",
        ) from error
    if actual != expected.lower():
        raise _hash_error(path, expected.lower(), actual)


def _sources(file: TensorFile, path: Path, prefix: str, renames: Renames) -> dict[str, str]:
    """Names in the file by the name that each has in the module."""
    sources: dict[str, str] = {}
    for stored in file.names():
        if not stored.startswith(prefix):
            continue
        name = stored.removeprefix(prefix)
        for pattern, replacement in renames:
            name = re.sub(pattern, replacement, name)
        if name in sources:
            raise WeightsKeyError(
                f"In {path} both {sources[name]} and {stored} become {name}.",
                "Every tensor of the module comes from one of the file.",
                "Correct the renames.",
            )
        sources[name] = stored
    return sources


def _targets(module: nn.Module) -> dict[str, Tensor]:
    import torch

    state = module.state_dict(keep_vars=True)
    return {name: value for name, value in state.items() if isinstance(value, torch.Tensor)}


def _tied(targets: Mapping[str, Tensor]) -> dict[int, list[str]]:
    """Names that share one tensor, by that tensor."""
    groups: dict[int, list[str]] = {}
    for name, tensor in targets.items():
        groups.setdefault(id(tensor), []).append(name)
    return groups


def _check_fit(
    module: nn.Module, path: Path, targets: Mapping[str, Tensor], shapes: Mapping[str, tuple[int, ...]]
) -> None:
    groups = _tied(targets).values()
    missing = [names[0] for names in groups if not any(name in shapes for name in names)]
    unexpected = [name for name in shapes if name not in targets]
    both = [name for name in targets if name in shapes]
    misshapen = [name for name in both if tuple(targets[name].shape) != shapes[name]]
    if not (missing or unexpected or misshapen):
        return
    shape_notes = [
        f"{name} is {list(shapes[name])} in the file, {list(targets[name].shape)} in the module"
        for name in misshapen
    ]
    raise _key_error(
        f"{path} does not fit {type(module).__name__}", missing, unexpected, misshapen, shape_notes
    )


def _key_error(
    what: str,
    missing: Sequence[str],
    unexpected: Sequence[str],
    misshapen: Sequence[str],
    shape_notes: Sequence[str],
) -> WeightsKeyError:
    counts = f"{len(missing)} missing, {len(unexpected)} unexpected, {len(misshapen)} of another shape"
    parts = [
        _listed("missing", _with_nearest(missing, unexpected, "the file has")),
        _listed("unexpected", _with_nearest(unexpected, missing, "the module has")),
        _listed("of another shape", shape_notes),
    ]
    error = WeightsKeyError(
        f"{what}: {counts}.",
        "\n".join(part for part in parts if part),
        "Use the config that the weights were saved with, or map their names (renames, prefix).",
    )
    error.missing, error.unexpected, error.misshapen = missing, unexpected, misshapen
    return error


def _hash_error(path: Path, expected: str, actual: str) -> WeightsHashError:
    error = WeightsHashError(
        f"{path} has the SHA-256 {actual[:12]}...",
        f"The pinned one is {expected[:12]}...",
        "Install or download the file again; if it changed on purpose, pin its new hash.",
    )
    error.expected, error.actual = expected, actual
    return error


def _with_nearest(names: Sequence[str], others: Sequence[str], who: str) -> list[str]:
    matches = {name: nearest(name, others) for name in names[:LISTED]}
    return [f"{name} ({who} {matches[name]})" if matches.get(name) else name for name in names]


def _listed(title: str, notes: Sequence[str]) -> str:
    rest = f", and {len(notes) - LISTED} more" if len(notes) > LISTED else ""
    return f"{title}: {', '.join(notes[:LISTED])}{rest}" if notes else ""


def _fill(
    module: nn.Module, names: Sequence[str], target: Tensor, value: Tensor, device: torch.device | str | None
) -> None:
    import torch
    from torch import nn

    with torch.no_grad():
        if not target.is_meta:
            target.copy_(value)
            return
        value = value.to(device=device or torch.get_default_device(), dtype=target.dtype)
        if isinstance(target, nn.Parameter):
            value = nn.Parameter(value, requires_grad=target.requires_grad)
    for name in names:
        owner, _, leaf = name.rpartition(".")
        setattr(module.get_submodule(owner), leaf, value)
