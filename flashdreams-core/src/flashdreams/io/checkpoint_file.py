"""Torch checkpoints that hold nothing but tensors. Code in one is never run."""

from __future__ import annotations

import pickle
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flashdreams.errors import WeightsFileError
from flashdreams.io.mapped import Place, map_tensor

if TYPE_CHECKING:
    from torch import Tensor

SUFFIXES = (".pt", ".pth", ".bin", ".ckpt")
PLACE = "_checkpoint_offset"  # torch's name for it; one that does not say it maps the whole file


class CheckpointFile:
    """A torch checkpoint: (nested) dicts of tensors, nested names joined by dots.

    One in torch's format of today is mapped tensor by tensor. One in the format of before 2020 is read at
    once, and each tensor leaves memory once it was taken.

    Raises:
        WeightsFileError: The file is truncated, of another format, or holds more than tensors.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        is_zip = zipfile.is_zipfile(path)
        held = dict(_flat(_load(path, map_location="meta" if is_zip else "cpu"), ""))
        self._mapped = is_zip and all(hasattr(t.untyped_storage(), PLACE) for t in held.values())
        self._tensors = dict(_flat(_load(path, mmap=True), "")) if is_zip and not self._mapped else held
        self._shapes = {name: tuple(tensor.shape) for name, tensor in self._tensors.items()}

    def names(self) -> list[str]:
        """Names of the tensors."""
        return list(self._shapes)

    def shape(self, name: str) -> tuple[int, ...]:
        """Shape of a tensor."""
        return self._shapes[name]

    def take(self, name: str) -> Tensor:
        """A tensor; it can be taken once."""
        tensor = self._tensors.pop(name)
        return self._map(tensor) if self._mapped else tensor

    def _map(self, skeleton: Tensor) -> Tensor:
        """The tensor of a skeleton, which knows where in the file its storage begins."""
        storage = skeleton.untyped_storage()
        start = getattr(storage, PLACE)
        length = storage.nbytes() // skeleton.itemsize
        flat = map_tensor(self.path, Place(start, skeleton.dtype, (length,)))
        return flat.as_strided(skeleton.shape, skeleton.stride(), skeleton.storage_offset())


def _load(path: Path, **how: Any) -> Any:
    import torch

    try:
        return torch.load(path, weights_only=True, **how)
    except pickle.UnpicklingError as error:
        raise WeightsFileError(
            f"{path} holds more than tensors, and is not loaded: {_first_line(error)}",
            "A checkpoint that holds tensors alone; anything else in it can run code when it is loaded.",
            "Ask for it as .safetensors, or save its tensors so with safetensors.torch.save_file().",
        ) from error
    except (RuntimeError, OSError, EOFError, ValueError, KeyError) as error:
        raise WeightsFileError(
            f"{path} is no whole torch checkpoint: {_first_line(error)}",
            "A download that broke off, or a file renamed from another format, reads like this.",
            "Download it again, as .safetensors where there is one.",
        ) from error


def _flat(tree: Any, prefix: str) -> Iterator[tuple[str, Tensor]]:
    import torch

    for name, value in tree.items() if isinstance(tree, dict) else ():
        if isinstance(value, torch.Tensor):
            yield f"{prefix}{name}", value
        else:
            yield from _flat(value, f"{prefix}{name}.")


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
