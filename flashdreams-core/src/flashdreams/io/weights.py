"""Weights: from files into a module, checked, and never twice in memory."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from flashdreams.errors import WeightsFileError, WeightsHashError
from flashdreams.io.checksum import sha256_of
from flashdreams.io.layout import Layout, as_stored, find_sources
from flashdreams.io.tensor_file import open_tensors
from flashdreams.io.weights_fit import check_fit

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

__all__ = ["check_sha256", "load_weights", "place_tensor", "sha256_of", "tensor_groups"]


def load_weights(
    module: nn.Module,
    path: str | Path,
    *,
    prefix: str = "",
    sha256: str | None = None,
    renames: Iterable[tuple[str, str]] = (),
    device: torch.device | str | None = None,
    layouts: Sequence[Layout] = (),
) -> None:
    """Fill a module's parameters and buffers from a file or folder, all or none.

    Tensors are mapped from the file, one after the other, and copied once, into the dtype and to the device
    that the module has; what was copied is unmapped again. Those of a module built on ``meta`` take the
    place of its empty ones; where dtype and device agree they stay mapped, so leave the file alone while
    the module lives. Matrices stored as int8 rows (:mod:`flashdreams.io.row_quantised`) are dequantised. Of
    tied parameters the file may hold any one. Buffers that are not persistent are in no file, and stay as
    they are.

    Args:
        module: What to fill.
        path: A .safetensors file, a torch checkpoint (.pt, .pth, .bin, .ckpt) of nothing but tensors, or a
            folder with one such file, or with several and their index (``*.index.json``).
        prefix: Only tensors whose names begin so are taken, and the prefix is left out of their names.
        sha256: The hash that the file must have, 64 hexadecimal digits.
        renames: Pairs of a regular expression and its replacement, applied to each name in this order.
        device: Where tensors of a module on ``meta`` go; torch's default device where None.
        layouts: In place of ``prefix`` and ``renames``: the names under which the weights are published.
            The first layout that fits the file is taken.

    Raises:
        WeightsFileError: The file is absent, truncated, of another format, or a pickle with code in it.
        WeightsHashError: The file has another hash.
        WeightsLayoutError: No layout fits the file.
        WeightsKeyError: The file lacks tensors, has others, or has them in other shapes.
    """
    path = Path(path)
    if sha256 is not None:
        check_sha256(path, sha256)
    with open_tensors(path) as file:
        if layouts:
            source_of = find_sources(file.names(), layouts, path)
        else:
            source_of = Layout("as given", prefix, tuple(renames)).sources(as_stored(file.names()), path)
        groups = tensor_groups(module)
        check_fit(module, path, groups, {name: file.shape(stored) for name, stored in source_of.items()})
        for names, target in groups:
            stored = next(source_of[name] for name in names if name in source_of)
            _fill(module, names, target, file.take(stored), device)


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


def tensor_groups(module: nn.Module) -> list[tuple[list[str], Tensor]]:
    """What files hold of a module: parameters and buffers, each with all the names that it has there."""
    import torch

    groups: dict[int, tuple[list[str], Tensor]] = {}
    for name, tensor in module.state_dict(keep_vars=True).items():
        if isinstance(tensor, torch.Tensor):
            groups.setdefault(id(tensor), ([], tensor))[0].append(name)
    return list(groups.values())


def place_tensor(module: nn.Module, names: Iterable[str], value: Tensor) -> None:
    """Put a tensor into a module in place of a parameter or buffer, under all the names that it has."""
    from torch import nn

    owner, leaf = _owner(module, next(iter(names)))
    old = getattr(owner, leaf)
    if isinstance(old, nn.Parameter):
        value = nn.Parameter(value, requires_grad=old.requires_grad)
    for name in names:
        owner, leaf = _owner(module, name)
        setattr(owner, leaf, value)


def _owner(module: nn.Module, name: str) -> tuple[nn.Module, str]:
    parent, _, leaf = name.rpartition(".")
    return module.get_submodule(parent), leaf


def _fill(
    module: nn.Module, names: Sequence[str], target: Tensor, value: Tensor, device: torch.device | str | None
) -> None:
    import torch

    with torch.no_grad():
        if not target.is_meta:
            target.copy_(value)
            return
        value = value.to(device=device or torch.get_default_device(), dtype=target.dtype)
    place_tensor(module, names, value)


def _hash_error(path: Path, expected: str, actual: str) -> WeightsHashError:
    error = WeightsHashError(
        f"{path} has the SHA-256 {actual[:12]}...",
        f"The pinned one is {expected[:12]}...",
        "Install or download the file again; if it changed on purpose, pin its new hash.",
    )
    error.expected, error.actual = expected, actual
    return error
