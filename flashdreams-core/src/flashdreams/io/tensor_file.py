"""Files and folders of named tensors, each tensor read when it is taken."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from flashdreams.errors import WeightsFileError
from flashdreams.io import checkpoint_file
from flashdreams.io.checkpoint_file import CheckpointFile
from flashdreams.io.safetensors_file import SafetensorsFile

if TYPE_CHECKING:
    from torch import Tensor

SUFFIXES = (".safetensors", *checkpoint_file.SUFFIXES)
INDEX = "*.index.json"
LISTED = 5  # files or folders in an error


class TensorFile(Protocol):
    """Named tensors."""

    def names(self) -> list[str]:
        """Names of the tensors; a quantised matrix and its scales count as one."""
        ...

    def shape(self, name: str) -> tuple[int, ...]:
        """Shape of a tensor, without reading it."""
        ...

    def take(self, name: str) -> Tensor:
        """A tensor in host memory, or mapped into it; each is taken once."""
        ...


class Shards:
    """Files that share the tensors of one model."""

    def __init__(self, files: Sequence[TensorFile]) -> None:
        self._file_of = {name: file for file in files for name in file.names()}

    def names(self) -> list[str]:
        """Names of the tensors of all files."""
        return list(self._file_of)

    def shape(self, name: str) -> tuple[int, ...]:
        """Shape of a tensor, without reading it."""
        return self._file_of[name].shape(name)

    def take(self, name: str) -> Tensor:
        """A tensor."""
        return self._file_of[name].take(name)


@contextmanager
def open_tensors(path: Path) -> Iterator[TensorFile]:
    """Open a file of tensors by its suffix, or a folder that holds one, or shards and their index.

    Raises:
        WeightsFileError: A file is absent, truncated, of another format, or a pickle with code in it.
    """
    if not path.is_dir():
        yield _open(path)
        return
    indices = sorted(path.glob(INDEX))
    if indices:
        yield Shards([_open(shard) for shard in _shards(_only(indices, path, "indices"))])
    else:
        yield _open(_only([file for file in sorted(path.iterdir()) if _is_weights(file)], path, "files"))


def _open(path: Path) -> TensorFile:
    if not path.is_file():
        raise WeightsFileError(
            f"There is no weights file {path}.",
            "Weights are one .safetensors file.",
            "Check the path, or install or download the weights again.",
        )
    if path.suffix == ".safetensors":
        return SafetensorsFile(path)
    if path.suffix in checkpoint_file.SUFFIXES:
        return CheckpointFile(path)
    raise WeightsFileError(
        f"The weights file {path} has the suffix {path.suffix!r}.",
        f"Weights are .safetensors, or a torch checkpoint ({', '.join(checkpoint_file.SUFFIXES)}).",
        "Rename the file by what it holds.",
    )


def _is_weights(path: Path) -> bool:
    return path.suffix in SUFFIXES and path.is_file()


def _only(found: Sequence[Path], folder: Path, kind: str) -> Path:
    if len(found) == 1:
        return found[0]
    parts = sorted(
        part.name for part in folder.iterdir() if part.is_dir() and any(part.glob("*.safetensors"))
    )
    if found:
        hint = f"Name one of them: {', '.join(file.name for file in found[:LISTED])}."
    elif parts:
        hint = f"Name the part that is meant: {', '.join(str(folder / part) for part in parts[:LISTED])}."
    else:
        hint = "Check the path, or download the weights again."
    raise WeightsFileError(
        f"The folder {folder} has {len(found) or 'no'} weights {kind}.",
        f"One file of weights ({', '.join(SUFFIXES)}), or shards and one index ({INDEX}).",
        hint,
    )


def _shards(index: Path) -> list[Path]:
    """The files that an index names."""
    try:
        names = set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
        plain = all(isinstance(name, str) and Path(name).name == name for name in names)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise _bad_index(index, f"cannot be read: {type(error).__name__}") from error
    if not names or not plain:
        raise _bad_index(index, "names files outside of its folder" if names else "names no files")
    absent = sorted(name for name in names if not (index.parent / name).is_file())
    if absent:
        raise WeightsFileError(
            f"{index} names {absent[0]}, which is not there ({len(absent)} of {len(names)} are missing).",
            "Every shard lies beside its index.",
            "Download the missing files, or the whole folder again.",
        )
    return [index.parent / name for name in sorted(names)]


def _bad_index(index: Path, wrong: str) -> WeightsFileError:
    return WeightsFileError(
        f"The index {index} {wrong}.",
        'It holds {"weight_map": {name of a tensor: name of a file}}.',
        "Download it again.",
    )
