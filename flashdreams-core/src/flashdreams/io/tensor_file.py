"""Files of named tensors: safetensors, memory-mapped, and torch checkpoints that hold nothing else."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from flashdreams.errors import WeightsFileError
from flashdreams.io.row_quantised import dequantise_rows, scales_in

if TYPE_CHECKING:
    from torch import Tensor

CHECKPOINT_SUFFIXES = (".pt", ".pth", ".bin", ".ckpt")


class TensorFile(Protocol):
    """Named tensors, each read when it is asked for."""

    def names(self) -> list[str]:
        """Names of the tensors; a quantised matrix and its scales count as one."""
        ...

    def shape(self, name: str) -> tuple[int, ...]:
        """Shape of a tensor, without reading it."""
        ...

    def read(self, name: str) -> Tensor:
        """A tensor in host memory, or mapped into it."""
        ...


@contextmanager
def open_tensors(path: Path) -> Iterator[TensorFile]:
    """Open a file of tensors by its suffix: .safetensors, or a torch checkpoint.

    Raises:
        WeightsFileError: The file is absent, truncated, of another format, or a pickle with code in it.
    """
    if not path.is_file():
        raise WeightsFileError(
            f"There is no weights file {path}.",
            "Weights are one .safetensors file.",
            "Check the path, or install or download the weights again.",
        )
    if path.suffix == ".safetensors":
        with _open_safetensors(path) as file:
            yield SafetensorsFile(file)
    elif path.suffix in CHECKPOINT_SUFFIXES:
        yield CheckpointFile(_read_checkpoint(path))
    else:
        raise WeightsFileError(
            f"The weights file {path} has the suffix {path.suffix!r}.",
            f"Weights are .safetensors, or a torch checkpoint ({', '.join(CHECKPOINT_SUFFIXES)}).",
            "Rename the file by what it holds.",
        )


class SafetensorsFile:
    """A safetensors file; matrices stored as int8 rows come out as float32."""

    def __init__(self, file: Any) -> None:
        self._file = file
        self._stored = list(file.keys())
        scales = scales_in(self._stored)
        self._scales = {name: scales[name] for name in scales if file.get_slice(name).get_dtype() == "I8"}

    def names(self) -> list[str]:
        """Names of the tensors, scales left out."""
        scales = set(self._scales.values())
        return [name for name in self._stored if name not in scales]

    def shape(self, name: str) -> tuple[int, ...]:
        """Shape of a tensor, without reading it."""
        return tuple(self._file.get_slice(name).get_shape())

    def read(self, name: str) -> Tensor:
        """A tensor, mapped into memory; a quantised one as float32."""
        tensor: Tensor = self._file.get_tensor(name)
        if name in self._scales:
            return dequantise_rows(tensor, self._file.get_tensor(self._scales[name]))
        return tensor


class CheckpointFile:
    """A torch checkpoint: (nested) dicts of tensors, nested names joined by dots."""

    def __init__(self, tensors: dict[str, Tensor]) -> None:
        self._tensors = tensors

    def names(self) -> list[str]:
        """Names of the tensors."""
        return list(self._tensors)

    def shape(self, name: str) -> tuple[int, ...]:
        """Shape of a tensor."""
        return tuple(self._tensors[name].shape)

    def read(self, name: str) -> Tensor:
        """A tensor."""
        return self._tensors[name]


@contextmanager
def _open_safetensors(path: Path) -> Iterator[Any]:
    from safetensors import SafetensorError, safe_open

    try:
        file = safe_open(path, framework="pt", device="cpu")
    except (SafetensorError, OSError) as error:
        raise WeightsFileError(
            f"{path} is no whole safetensors file: {error}.",
            "A download that broke off, or a file renamed from another format, reads like this.",
            "Download or install it again.",
        ) from error
    with file as opened:
        yield opened


def _read_checkpoint(path: Path) -> dict[str, Tensor]:
    import pickle

    import torch

    try:
        held = torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
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
    return dict(_flat(held, ""))


def _flat(tree: Any, prefix: str) -> Iterator[tuple[str, Tensor]]:
    import torch

    for name, value in tree.items() if isinstance(tree, dict) else ():
        if isinstance(value, torch.Tensor):
            yield f"{prefix}{name}", value
        else:
            yield from _flat(value, f"{prefix}{name}.")


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
