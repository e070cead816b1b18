"""Safetensors files, read tensor by tensor."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flashdreams.errors import WeightsFileError
from flashdreams.io.mapped import Place, map_tensor
from flashdreams.io.row_quantised import dequantise_rows, scales_in

if TYPE_CHECKING:
    from torch import Tensor

DTYPES = {
    **{"F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16"},
    **{"F8_E4M3": "float8_e4m3fn", "F8_E5M2": "float8_e5m2"},
    **{"I64": "int64", "I32": "int32", "I16": "int16", "I8": "int8"},
    **{"U64": "uint64", "U32": "uint32", "U16": "uint16", "U8": "uint8", "BOOL": "bool"},
}
"""Types of the format, by torch's names."""


class SafetensorsFile:
    """A safetensors file; matrices stored as int8 rows come out as float32.

    Raises:
        WeightsFileError: The file is truncated, damaged, or of another format.
    """

    def __init__(self, path: Path) -> None:
        _check_whole(path)
        self.path = path
        self._start, header = _header(path)
        self.metadata: dict[str, str] = header.pop("__metadata__", {})
        self._stored: dict[str, dict[str, Any]] = header
        scales = scales_in(header)
        self._scales = {name: scales[name] for name in scales if header[name]["dtype"] == "I8"}

    def names(self) -> list[str]:
        """Names of the tensors, scales left out."""
        scales = set(self._scales.values())
        return [name for name in self._stored if name not in scales]

    def shape(self, name: str) -> tuple[int, ...]:
        """Shape of a tensor, without reading it."""
        return tuple(self._stored[name]["shape"])

    def take(self, name: str) -> Tensor:
        """A tensor, mapped into memory; a quantised one as float32."""
        if name in self._scales:
            return dequantise_rows(self._mapped(name), self._mapped(self._scales[name]))
        return self._mapped(name)

    def _mapped(self, name: str) -> Tensor:
        import torch

        facts = self._stored[name]
        if facts["dtype"] not in DTYPES:
            raise WeightsFileError(
                f"{name} in {self.path} is stored as {facts['dtype']}.",
                "Known are: " + ", ".join(DTYPES) + ".",
                "Ask for the weights in one of these.",
            )
        start = self._start + facts["data_offsets"][0]
        place = Place(start, getattr(torch, DTYPES[facts["dtype"]]), tuple(facts["shape"]))
        return map_tensor(self.path, place)


def _check_whole(path: Path) -> None:
    """Let the library check that every tensor lies within the file and none overlap."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt", device="cpu"):
            pass
    except (SafetensorError, OSError) as error:
        raise WeightsFileError(
            f"{path} is no whole safetensors file: {error}.",
            "A download that broke off, or a file renamed from another format, reads like this.",
            "Download or install it again.",
        ) from error


def _header(path: Path) -> tuple[int, dict[str, Any]]:
    """Where the data starts, and what the header says of each tensor."""
    with path.open("rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        header: dict[str, Any] = json.loads(file.read(length))
    return 8 + length, header
