"""A state dict as it is stored: matrices as int8 rows, everything else as float32."""

from __future__ import annotations

from torch import Tensor

from flashdreams.io.row_quantised import SCALE, quantise_rows


def pack(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """A state dict as it is stored."""
    packed: dict[str, Tensor] = {}
    for name, value in state.items():
        if name.endswith("weight") and value.dim() >= 2:
            packed[name], packed[name + SCALE] = quantise_rows(value)
        else:
            packed[name] = value.detach().float().clone()
    return packed
