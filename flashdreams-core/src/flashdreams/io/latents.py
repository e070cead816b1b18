"""Latents as NPZ: a zip with one array per chunk, complete after each of them."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flashdreams.io.writer import Array, Writer, open_fresh

if TYPE_CHECKING:
    from torch import Tensor


class LatentsWriter(Writer):
    """Writes latents, ``[B, C, T, H, W]`` a chunk, as entries ``chunk-000000`` and so on.

    The zip's table of contents is rewritten behind every chunk, so the file can be read while it grows
    and after a crash. A chunk that did not fit on the disk is taken back.
    """

    def __init__(self, path: Path, *, overwrite: bool = False) -> None:
        super().__init__(path)
        self._chunks = 0
        with open_fresh(path, overwrite) as file, zipfile.ZipFile(file, "w"):
            pass

    def _write(self, array: Array) -> None:
        import numpy as np

        entry = io.BytesIO()
        np.save(entry, array)
        with self.path.open("r+b") as file:
            begin, contents = _table_of_contents(file)
        try:
            with zipfile.ZipFile(self.path, "a") as archive:
                archive.writestr(f"chunk-{self._chunks:06d}.npy", entry.getbuffer())
        except OSError:
            _take_back(self.path, begin, contents)
            raise
        self._chunks += 1
        self.frames += array.shape[2]

    def _finish(self) -> None:
        """Nothing is left to do: the zip is complete after each chunk."""


def read_latents(path: Path) -> Array:
    """The latents of a whole video, ``[B, C, T, H, W]``, from what :class:`LatentsWriter` wrote."""
    import numpy as np

    with np.load(path) as chunks:
        return np.concatenate([chunks[name] for name in sorted(chunks)], axis=2)


def to_array(latents: Tensor) -> Array:
    """Latents on the host. numpy has no bfloat16: it becomes float32, which holds it exactly."""
    import torch

    return latents.to(torch.float32 if latents.dtype == torch.bfloat16 else latents.dtype).cpu().numpy()


def _table_of_contents(file: Any) -> tuple[int, bytes]:
    """Where the table of contents of a zip begins, and the table."""
    with zipfile.ZipFile(file) as archive:
        begin = archive.start_dir
    file.seek(begin)
    return begin, file.read()


def _take_back(path: Path, begin: int, contents: bytes) -> None:
    with path.open("r+b") as file:
        file.truncate(begin)
        file.seek(begin)
        file.write(contents)
