"""Torch checkpoints that hold nothing but tensors. Code in one is never run."""

from __future__ import annotations

import pickle
import re
import warnings
import zipfile
from collections.abc import Iterable, Iterator, Mapping
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

    One in torch's format of today is mapped tensor by tensor. One in the format of before 2020, or packed
    again with compression, is read at once, and each tensor leaves memory once it was taken.

    Raises:
        WeightsFileError: The file is truncated, of another format, or holds more than tensors.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        lies_open = _lies_open(path)
        held = dict(_flat(_load(path, map_location="meta" if lies_open else "cpu"), ""))
        _check_dense(path, held)
        self._mapped = lies_open and all(hasattr(t.untyped_storage(), PLACE) for t in held.values())
        self._tensors = dict(_flat(_load(path, mmap=True), "")) if lies_open and not self._mapped else held
        self._shapes = {name: tuple(tensor.shape) for name, tensor in self._tensors.items()}
        if self._mapped:
            _check_inside(path, held.values())

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
        with warnings.catch_warnings(action="ignore"):  # torch's own advice is to load it all the same
            return torch.load(path, weights_only=True, **how)
    except pickle.UnpicklingError as error:
        asked_for = _asked_for(error)
        if _ends_within(path, asked_for):
            raise _damaged(path, f"it ends within the name {asked_for}") from error
        raise WeightsFileError(
            f"{path} holds more than tensors, and is not loaded{asked_for and f': it asks for {asked_for}'}.",
            "A checkpoint that holds tensors alone; anything else in it can run code when it is loaded.",
            "Ask for it as .safetensors, or save its tensors so with safetensors.torch.save_file().",
        ) from error
    except Exception as error:  # what a damaged pickle asks for can fail in any way
        raise _damaged(path, _first_line(error)) from error


def _lies_open(path: Path) -> bool:
    """Whether it is a zip archive whose members lie in it uncompressed, so that they can be mapped."""
    try:
        with zipfile.ZipFile(path) as archive:
            return all(member.compress_type == zipfile.ZIP_STORED for member in archive.infolist())
    except Exception:  # a damaged archive can fail in any way
        return False  # torch reads older formats, and says what is wrong with others


def _check_dense(path: Path, tensors: Mapping[str, Tensor]) -> None:
    import torch

    for name, tensor in tensors.items():
        if tensor.layout != torch.strided:
            raise WeightsFileError(
                f"{name} in {path} is sparse.",
                "Dense tensors are read.",
                "Save it again with .to_dense().",
            )


def _check_inside(path: Path, tensors: Iterable[Tensor]) -> None:
    """Refuse a file that ends before one of its tensors does."""
    storages = [tensor.untyped_storage() for tensor in tensors]
    end = max((getattr(storage, PLACE) + storage.nbytes() for storage in storages), default=0)
    if end > path.stat().st_size:
        raise _damaged(path, f"it should hold {end} bytes at least.")


def _damaged(path: Path, wrong: str) -> WeightsFileError:
    return WeightsFileError(
        f"{path} is no whole torch checkpoint: {wrong}",
        "A download that broke off, or a file renamed from another format, reads like this.",
        "Download it again, as .safetensors where there is one.",
    )


def _flat(tree: Any, prefix: str) -> Iterator[tuple[str, Tensor]]:
    import torch

    for name, value in tree.items() if isinstance(tree, dict) else ():
        if isinstance(value, torch.Tensor):
            yield f"{prefix}{name}", value
        else:
            yield from _flat(value, f"{prefix}{name}.")


def _asked_for(error: Exception) -> str:
    """What a refused checkpoint wanted to call, where torch names it."""
    found = re.search(r"GLOBAL ([\w.]+)", str(error))
    return found[1] if found else ""


def _ends_within(path: Path, name: str) -> bool:
    """Whether the file was cut off in the middle of a name of two parts, which is then another name."""
    part = name.rstrip(".").rpartition(".")[2].encode()
    if not part:
        return False
    with path.open("rb") as file:
        file.seek(-min(len(part) + 1, path.stat().st_size), 2)
        return part in file.read()  # torch takes the last byte for the end of the line


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
